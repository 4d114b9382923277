// fastify.js ADDRESS PORT - Fastify with trustProxy.
'use strict';
const http = require('node:http');
const common = require('./common.js');

let server;
const app = require('fastify')({
  trustProxy: 'loopback',
  serverFactory: (handler) => (server = http.createServer(handler)),
});
// Bodies are streamed to the handler, of any type and length.
app.removeAllContentTypeParsers();
app.addContentTypeParser('*', (req, body, done) => done(null, body));
app.addHook('onRequest', async (req, reply) => {
  reply.header('X-Instance', common.name);
});
app.post('/upload', async (req) => common.receive(req.raw));
app.get('/big', (req, reply) => reply.send(common.big(Number(req.query.n))));
app.get('/events', (req, reply) =>
  reply.type('text/event-stream').send(common.events(req.query.gate)));
app.get('/*', async (req) =>
  common.text({ client: req.ip, scheme: req.protocol, host: req.headers.host }));
app.ready().then(() => common.listen(server));
