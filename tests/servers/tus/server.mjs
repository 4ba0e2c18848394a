// The tus project's own server, for tests: node server.mjs FOLDER [PORT]. Says its port on the first line, then a line
// for each request: METHOD PATH OFFSET. One line of standard input is a word of command (see below).
import http from 'node:http';
import { FileStore } from '@tus/file-store';
import { Server } from '@tus/server';

const [folder, port = '0'] = process.argv.slice(2);
const tus = new Server({ path: '/files', datastore: new FileStore({ directory: folder }) });
let received = 0;
const server = http.createServer((request, response) => {
  if (request.method === 'PATCH') {
    request.on('data', (piece) => { received += piece.length; });
  }
  response.on('close', () => {
    console.log(request.method, request.url, request.headers['upload-offset'] ?? '-', response.statusCode, received);
  });
  tus.handle(request, response);
});
server.listen(Number(port), '127.0.0.1', () => console.log(server.address().port));
process.stdin.on('end', () => process.exit(0)).resume();
