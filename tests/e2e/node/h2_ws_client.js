// h2_ws_client.js ADDRESS PORT - asks for a WebSocket by extended CONNECT (RFC 8441) at /ws; prints the status and what
// comes back for "ping".
'use strict';
const http2 = require('node:http2');

const [address, port] = process.argv.slice(2);
const session = http2.connect(`http://${address}:${port}`);
session.once('remoteSettings', () => {
  const stream = session.request({
    ':method': 'CONNECT', ':protocol': 'websocket', ':path': '/ws', ':scheme': 'http', ':authority': 'www.example.com',
    'sec-websocket-version': '13',
  }, { endStream: false });
  stream.on('response', (h) => { console.log(h[':status'], h['sec-websocket-accept']); stream.write('ping'); });
  stream.on('data', (data) => { console.log(data.toString()); stream.end(); });
  stream.on('end', () => session.close());
});
