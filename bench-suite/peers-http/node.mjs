// The smallest server on node's http module: every request is answered with 200 and no body, as the function `empty` answers.
//
//   node node.mjs
//
// It listens on a port of the system's choice, on loopback, and prints its address. One process, one thread of JavaScript.
import { createServer } from "node:http";

const server = createServer((request, response) => {
  request.resume();
  response.writeHead(200, { "Content-Length": 0 });
  response.end();
});
// A connection that waits for its turn in the comparison stays open.
server.keepAliveTimeout = 120_000;
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
