// express.js ADDRESS PORT - Express with "trust proxy".
'use strict';
const http = require('node:http');
const express = require('express');
const common = require('./common.js');

const app = express();
app.set('trust proxy', process.env.TRUST || 'loopback');
app.use((req, res, next) => {
  res.set('X-Instance', common.name);
  next();
});
app.post('/upload', async (req, res) => res.send(await common.receive(req)));
app.get('/big', (req, res) => common.big(Number(req.query.n)).pipe(res));
app.get('/events', (req, res) => {
  res.set('Content-Type', 'text/event-stream');
  common.events(req.query.gate).pipe(res);
});
app.use((req, res) =>
  res.send(common.text({ client: req.ip, scheme: req.protocol, host: req.get('host'),
    cf: req.get('cf-connecting-ip') || '-' })));
common.listen(http.createServer(app));
