// The tus project's own server, for tests: node server.mjs FOLDER [PORT]. It says its port on the first line, and then a
// line for each request that has ended: METHOD PATH UPLOAD-OFFSET STATUS BYTES, the last being those of all PATCHes so far.
import http from 'node:http';
import { FileStore } from '@tus/file-store';
import { Server } from '@tus/server';

const [folder, port = '0'] = process.argv.slice(2);
const tus = new Server({ path: '/files', datastore: new FileStore({ directory: folder }) });
let received = 0;
const server = http.createServer((request, response) => {
  if (request.method === 'PATCH') {
    // A listener for data would take the body from the server's own, which comes later.
    const push = request.push.bind(request);
    request.push = (piece, ...rest) => {
      received += piece?.length ?? 0;
      return push(piece, ...rest);
    };
  }
  response.on('close', () => {
    console.log(request.method, request.url, request.headers['upload-offset'] ?? '-', response.statusCode, received);
  });
  tus.handle(request, response);
});
server.listen(Number(port), '127.0.0.1', () => console.log(server.address().port));
process.stdin.on('end', () => process.exit(0)).resume();
