// plain.js ADDRESS PORT [KEEP_ALIVE_MS [quiet]] - node:http as it comes.
//
// POST /ID counts ID, GET /counts tells how often each came, GET /slow answers when GET /go has come,
// /late/… after 50 ms, anything else at once. quiet: without the Keep-Alive header that tells when it closes.
'use strict';
const http = require('node:http');

const [address, port, keepAliveMs, quiet] = process.argv.slice(2);
const counts = {};
const waiting = [];
let connections = 0;

const server = http.createServer((req, res) => {
  if (quiet) res.setHeader('Connection', 'keep-alive');
  if (req.url === '/slow') {
    waiting.push(res);
    return;
  }
  if (req.url === '/go') for (const w of waiting.splice(0)) w.end('slow');
  if (req.method === 'POST') counts[req.url] = (counts[req.url] || 0) + 1;
  req.resume();
  req.on('end', () => {
    const what = req.url === '/counts' ? { connections, waiting: waiting.length, counts } : { url: req.url };
    setTimeout(() => res.end(JSON.stringify(what)), req.url.startsWith('/late/') ? 50 : 0);
  });
});
if (keepAliveMs) server.keepAliveTimeout = Number(keepAliveMs);
server.on('connection', () => connections++);
server.listen(Number(port), address, 1024);
