// Serves the real JSONPlaceholder on 127.0.0.1: its own index.js listens on all interfaces.
// node serve_jsonplaceholder.js <node_modules> <port> [public]
// "public" is what jsonplaceholder.typicode.com runs: json-server told to pretend, over the same data.
const path = require('path')
const modules = path.resolve(process.argv[2])
const load = (name) => require(path.join(modules, name))

function pretending() {
  const jsonServer = load('json-server')
  const app = jsonServer.create()
  app.use(jsonServer.defaults({ logger: false }))
  app.use(jsonServer.router(load('jsonplaceholder/data.json'), { _isFake: true }))
  return app
}

const app = process.argv[4] === 'public' ? pretending() : load('jsonplaceholder/src/app')
app.listen(Number(process.argv[3]), '127.0.0.1')
