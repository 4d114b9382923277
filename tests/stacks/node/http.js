// http.js ADDRESS PORT - node:http alone: who asks is read from sluice's headers by hand.
'use strict';
const http = require('node:http');
const common = require('./common.js');

const server = http.createServer(async (req, res) => {
  const url = new URL(req.url, 'http://x');
  res.setHeader('X-Instance', common.name);
  if (url.pathname === '/upload') {
    res.end(await common.receive(req));
  } else if (url.pathname === '/big') {
    common.big(Number(url.searchParams.get('n'))).pipe(res);
  } else if (url.pathname === '/events') {
    res.setHeader('Content-Type', 'text/event-stream');
    common.events(url.searchParams.get('gate')).pipe(res);
  } else {
    // Only sluice can connect, so the last address is the one that it saw; its checks have none.
    const from = req.headers['x-forwarded-for'] || '';
    res.end(common.text({ client: from.split(/, */).pop(),
      scheme: req.headers['x-forwarded-proto'], host: req.headers.host }));
  }
});
// Uploads may take their time; sluice's own timeouts guard against slow clients.
server.requestTimeout = 0;
common.listen(server);
