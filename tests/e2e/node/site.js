// site.js ADDRESS PORT - an Express application as it stands behind a proxy: /who says who asks,
// POST /json gives the parsed body back, /events sends server-sent events, one whenever POST /tick
// comes, /slow is answered when POST /go has come, /redirect goes to /who, /file streams BYTES.
'use strict';
const express = require('express');

const [address, port] = process.argv.slice(2);
const app = express();
const streams = new Set();
const waiting = [];
let ticks = 0;

app.set('trust proxy', 'loopback');
app.use(express.json());
app.get('/who', (req, res) =>
  res.json({ ip: req.ip, ips: req.ips, protocol: req.protocol, secure: req.secure, host: req.hostname,
    forwardedHost: req.get('x-forwarded-host'), id: req.get('x-request-id') }));
app.post('/json', (req, res) => res.status(201).json(req.body));
app.get('/events', (req, res) => {
  res.set({ 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' });
  res.flushHeaders();
  streams.add(res);
  res.on('close', () => streams.delete(res));
});
app.get('/streams', (req, res) => res.json({ open: streams.size, waiting: waiting.length }));
app.post('/tick', (req, res) => {
  ticks++;
  for (const s of streams) s.write(`id: ${ticks}\ndata: tick ${ticks}\n\n`);
  res.json({ ticks });
});
app.get('/slow', (req, res) => waiting.push(res));
app.post('/go', (req, res) => {
  for (const w of waiting.splice(0)) w.send('slow');
  res.send('go');
});
app.get('/redirect', (req, res) => res.redirect('/who'));
app.get('/file/:bytes', (req, res) => {
  let left = Number(req.params.bytes);
  const more = () => {
    while (left > 0) {
      const n = Math.min(left, 65536);
      left -= n;
      if (!res.write(Buffer.alloc(n, 'f'))) {
        res.once('drain', more);
        return;
      }
    }
    res.end();
  };
  more();
});
app.listen(Number(port), address);
