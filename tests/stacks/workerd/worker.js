// worker.js - what the applications of the other stacks do, as a worker of workerd.
const text = (values) => Object.entries(values).map(([n, v]) => `${n}=${v}\n`).join('');

async function receive(body) {
  const digest = new crypto.DigestStream('MD5');
  const writer = digest.getWriter();
  let bytes = 0;
  for await (const piece of body ?? []) {
    bytes += piece.length;
    await writer.write(piece);
  }
  await writer.close();
  const md5 = [...new Uint8Array(await digest.digest)].map((b) => b.toString(16).padStart(2, '0')).join('');
  return text({ bytes, md5 });
}

// N times 64 KiB, each of one letter.
function big(n) {
  let i = 0;
  return new ReadableStream({
    type: 'bytes',
    pull(controller) {
      if (i === n) controller.close();
      else controller.enqueue(new Uint8Array(65536).fill(97 + i++ % 26));
    },
  });
}

// Three server-sent events; the one after I comes when the file GATE.I is there: its client has had I.
function events(gate, files) {
  const { readable, writable } = new TransformStream();
  const write = async () => {
    const writer = writable.getWriter();
    for (let i = 1; i <= 3; i++) {
      await writer.write(new TextEncoder().encode(`id: ${i}\ndata: event ${i}\n\n`));
      while (i < 3 && (await files.fetch(`http://files${gate}.${i}`)).status !== 200) await scheduler.wait(10);
    }
    await writer.close();
  };
  write();
  return readable;
}

function socket() {
  const [client, server] = Object.values(new WebSocketPair());
  server.accept();
  server.addEventListener('message', (event) => server.send(event.data));
  server.addEventListener('close', (event) => server.close(event.code === 1005 ? 1000 : event.code));
  return new Response(null, { status: 101, webSocket: client });
}

export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    const headers = { 'X-Instance': env.NAME };
    switch (url.pathname) {
      case '/upload':
        return new Response(await receive(request.body), { headers });
      case '/big':
        return new Response(big(Number(url.searchParams.get('n'))), { headers });
      case '/events':
        headers['Content-Type'] = 'text/event-stream';
        return new Response(events(url.searchParams.get('gate'), env.FILES), { headers });
      case '/ws':
        return socket();
    }
    // Only sluice can connect, so the last address is the one that it saw.
    const from = request.headers.get('X-Forwarded-For') ?? '';
    return new Response(text({ client: from.split(/, */).pop(), scheme: url.protocol.slice(0, -1), host: url.host }), { headers });
  },
};
