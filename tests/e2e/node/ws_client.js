// ws_client.js URL - package ws as the client. Commands on stdin, one a line: `send TEXT`, `echo N`
// (N random bytes, compared), `close CODE REASON`, `terminate`; events on stdout, one a line of JSON.
'use strict';
const crypto = require('node:crypto');
const readline = require('node:readline');
const WebSocket = require('ws');

const ws = new WebSocket(process.argv[2], { maxPayload: 1 << 26 });
const say = (...event) => console.log(JSON.stringify(event));
const sent = [];

ws.on('open', () => say('open'));
ws.on('error', (e) => say('error', e.message));
ws.on('close', (code, reason) => {
  say('close', code, reason.toString());
  process.exit(0);
});
ws.on('message', (data, binary) => {
  if (!binary) say('text', data.toString());
  else if (sent.length > 0) say('echo', data.length, data.equals(sent.shift()));
  else say('binary', data.length);
});
readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const words = line.split(' ');
  if (words[0] === 'send') ws.send(line.slice(5));
  else if (words[0] === 'echo') {
    sent.push(crypto.randomBytes(Number(words[1])));
    ws.send(sent[sent.length - 1]);
  } else if (words[0] === 'close') ws.close(Number(words[1]), words[2]);
  else ws.terminate();
});
