// h2_app.js ADDRESS PORT [STREAMS [CERT KEY]] - node:http2 as a backend, in clear or over TLS (then HTTP/1.1 too,
// by ALPN). STREAMS: at the same time on one connection, 0: as many as come.
//
// /state tells about connections and streams, of this one request too; /echo sends back what comes, /say as JSON what was
// asked; /slow answers when /go has come; /goaway answers, then ends its connection in order; /stop breaks off all of them.
'use strict';
const fs = require('node:fs');
const http2 = require('node:http2');

const [address, port, streams, cert, key] = process.argv.slice(2);
const settings = { enableConnectProtocol: true };
if (Number(streams) > 0) settings.maxConcurrentStreams = Number(streams);
const sessions = new Set();
const waiting = [];
let accepted = 0, cancelled = 0, most = 0, now = 0;

function own(fields) {
  return Object.fromEntries(Object.entries(fields).filter(([name]) => !name.startsWith(':')));
}

function echo(stream, headers) {
  const out = { ':status': 200 };
  if (headers['content-length'] !== undefined) out['content-length'] = headers['content-length'];
  const trailers = {};
  stream.on('trailers', (t) => Object.assign(trailers, own(t)));
  stream.respond(out, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers(trailers));
  stream.pipe(stream);
}

function say(stream, headers) {
  const parts = [];
  stream.on('data', (part) => parts.push(part));
  stream.on('end', () => {
    const body = Buffer.concat(parts).toString('latin1');
    stream.respond({ ':status': 200, 'content-type': 'application/json' });
    stream.end(JSON.stringify({ headers, body }));
  });
}

function state() {
  return JSON.stringify({ accepted, open: sessions.size, cancelled, most, now });
}

function bytes(stream, n) {
  const block = Buffer.alloc(65536, 'sluice');
  stream.respond({ ':status': 200, 'content-length': n });
  let left = n;
  (function more() {
    while (left > 0) {
      const part = block.subarray(0, Math.min(left, block.length));
      left -= part.length;
      if (!stream.write(part)) {
        stream.once('drain', more);
        return;
      }
    }
    stream.end();
  })();
}

function text(stream, body, more) {
  stream.respond({ ':status': 200, 'content-length': body.length, ...more });
  stream.end(body);
}

function serve(stream, headers) {
  const path = headers[':path'].split('?')[0], argument = headers[':path'].split('?')[1];
  now += 1;
  most = Math.max(most, now);
  stream.on('close', () => { now -= 1; });
  stream.on('aborted', () => { cancelled += 1; });
  stream.on('error', () => {});
  if (headers[':method'] === 'CONNECT') {
    if (path === '/no') {
      stream.respond({ ':status': 403 }, { endStream: true });
      return;
    }
    stream.respond({ ':status': 200 });
    stream.pipe(stream);
    return;
  }
  switch (path) {
    case '/echo': return echo(stream, headers);
    case '/say': return say(stream, headers);
    case '/bytes': return bytes(stream, Number(argument));
    case '/state': return text(stream, state());
    case '/slow': return waiting.push(stream);
    case '/hang': return undefined;
    case '/go':
      for (const s of waiting.splice(0)) if (!s.destroyed) text(s, 'slow');
      return text(stream, 'gone');
    case '/hints':
      stream.additionalHeaders({ ':status': 103, link: '</a.css>; rel=preload' });
      stream.additionalHeaders({ ':status': 103, link: '</b.css>; rel=preload' });
      return text(stream, 'hinted');
    case '/early': // answers before the request is complete, and says that the rest is not wanted
      stream.respond({ ':status': 413 });
      stream.end('too much');
      stream.on('finish', () => stream.close(http2.constants.NGHTTP2_NO_ERROR));
      return undefined;
    case '/empty': return stream.respond({ ':status': 200 }, { endStream: true });
    case '/204': return stream.respond({ ':status': 204 }, { endStream: true });
    case '/cut': // half of what was said
      stream.respond({ ':status': 200, 'content-length': 10 });
      stream.write('12345');
      return setTimeout(() => stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR), 50);
    case '/trickle':
      stream.respond({ ':status': 200 });
      stream.write('first');
      return stream.on('data', (part) => {
        stream.write(part);
        if (part.includes('last')) stream.end();
      });
    case '/goaway':
      text(stream, 'bye');
      return stream.session.close();
    case '/stop':
      for (const s of sessions) s.destroy();
      return undefined;
    default: return text(stream, headers[':method'] === 'HEAD' ? '' : 'ok');
  }
}

const options = { settings, allowHTTP1: true };
if (cert) Object.assign(options, { cert: fs.readFileSync(cert), key: fs.readFileSync(key) });
const server = cert ? http2.createSecureServer(options) : http2.createServer(options);
server.on('session', (session) => {
  session.once('remoteSettings', () => { accepted += 1; }); // not one that only looks who is there
  sessions.add(session);
  session.on('close', () => sessions.delete(session));
  session.on('error', () => {});
});
server.on('sessionError', () => {});
server.on('stream', serve);
if (cert) {
  server.on('request', (req, res) => {
    if (req.httpVersionMajor === 1) res.end('HTTP/1');
  });
}
server.listen(Number(port), address, 1024);
