// websocket.js ADDRESS PORT - package ws: echoes; a text `close CODE REASON` is answered by that close,
// `terminate` by a cut, `big N` by N bytes.
'use strict';
const http = require('node:http');
const { WebSocketServer } = require('ws');

const [address, port] = process.argv.slice(2);
const server = http.createServer((req, res) => res.end(JSON.stringify(state)));
const state = { open: 0, closes: [] };
const sockets = new WebSocketServer({ server, maxPayload: 1 << 26 });

sockets.on('connection', (ws) => {
  state.open++;
  ws.on('message', (data, binary) => {
    const words = binary ? [] : data.toString().split(' ');
    if (words[0] === 'close') ws.close(Number(words[1]), words[2]);
    else if (words[0] === 'terminate') ws.terminate();
    else if (words[0] === 'big') ws.send(Buffer.alloc(Number(words[1]), 'x'));
    else ws.send(data, { binary });
  });
  ws.on('error', () => {});
  ws.on('close', (code, reason) => {
    state.open--;
    state.closes.push([code, reason.toString()]);
  });
});
server.listen(Number(port), address, 1024);
