// common.js - what the applications beside it share: what /who, /upload, /big and /events do once the
// framework has found who asks, and a WebSocket at /ws that echoes (package ws, beside any of them).
'use strict';
const crypto = require('node:crypto');
const fs = require('node:fs');
const { Readable } = require('node:stream');
const { WebSocketServer } = require('ws');

const [address, port] = process.argv.slice(2);
exports.name = process.env.APP_NAME || '';

// Lines NAME=VALUE.
exports.text = (values) => Object.entries(values).map(([n, v]) => `${n}=${v}\n`).join('');

exports.receive = async (stream) => {
  const digest = crypto.createHash('md5');
  let bytes = 0;
  for await (const piece of stream) {
    bytes += piece.length;
    digest.update(piece);
  }
  return exports.text({ bytes, md5: digest.digest('hex') });
};

// N times 64 KiB, each of one letter.
exports.big = (n) => Readable.from((function* () {
  for (let i = 0; i < n; i++) yield Buffer.alloc(65536, 97 + i % 26);
})());

// Three server-sent events; the one after I comes when the file GATE.I is there: its client has had I.
exports.events = (gate) => Readable.from((async function* () {
  for (let i = 1; i <= 3; i++) {
    yield `id: ${i}\ndata: event ${i}\n\n`;
    while (i < 3 && !fs.existsSync(`${gate}.${i}`)) await new Promise((go) => setTimeout(go, 10));
  }
})());

exports.listen = (server) => {
  const sockets = new WebSocketServer({ server, path: '/ws', maxPayload: 1 << 26 });
  sockets.on('connection', (ws) => {
    ws.on('message', (data, binary) => ws.send(data, { binary }));
    ws.on('error', () => {});
  });
  // Longer than sluice keeps an idle connection (backend_idle = "60s").
  server.keepAliveTimeout = 75000;
  server.listen({ host: address, port: Number(port), backlog: 1024 });
};
