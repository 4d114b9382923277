// journal.js ADDRESS PORT FILE - writes the target of each request to FILE before it answers, so that
// a killed one leaves behind what it got. /hang is not answered, /stream never ends.
'use strict';
const fs = require('node:fs');
const http = require('node:http');

const [address, port, file] = process.argv.slice(2);
const journal = fs.openSync(file, 'a');

const server = http.createServer((req, res) => {
  req.resume();
  req.on('end', () => {
    fs.writeSync(journal, req.url + '\n');
    if (req.url === '/hang') return;
    if (req.url === '/stream') {
      setInterval(() => res.write('more\n'), 10);
      return;
    }
    res.end('ok');
  });
});
server.listen(Number(port), address, 1024);
