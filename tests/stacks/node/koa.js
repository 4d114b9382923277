// koa.js ADDRESS PORT - Koa with app.proxy. Of X-Forwarded-For it takes the first address, which a client
// could have written were sluice to trust it; maxIpsCount takes the last one.
'use strict';
const http = require('node:http');
const Koa = require('koa');
const common = require('./common.js');

const app = new Koa({ proxy: true, maxIpsCount: 1 });
app.use(async (ctx) => {
  ctx.set('X-Instance', common.name);
  if (ctx.path === '/upload') {
    ctx.body = await common.receive(ctx.req);
  } else if (ctx.path === '/big') {
    ctx.body = common.big(Number(ctx.query.n));
  } else if (ctx.path === '/events') {
    ctx.type = 'text/event-stream';
    ctx.body = common.events(ctx.query.gate);
  } else {
    ctx.body = common.text({ client: ctx.ip, scheme: ctx.protocol, host: ctx.host });
  }
});
common.listen(http.createServer(app.callback()));
