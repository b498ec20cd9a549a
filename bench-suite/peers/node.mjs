// V8 as a peer of the harness: commands on standard input, an answer per line on standard output.
//
//   load NAME PATH   compile and instantiate a module         ok | unsupported WHY | error WHY
//   run NAME N       call its export `run`                    ok CHECKSUM NANOSECONDS
//   compile PATH     compile a module, eagerly and whole      ok NANOSECONDS
//
// The first line is `ready DESCRIPTION`. CHECKSUM is 16 hexadecimal digits.
//
// The tier is chosen by V8's own flags on the command line of node; the script's one argument, `liftoff` or `turbofan`, says which
// it is, and every run is checked against it. V8 11 with no more than `--liftoff --no-wasm-tier-up` replaces hot functions by
// TurboFan's code all the same, until `--no-wasm-dynamic-tiering` is said too.
//
// Time is the CPU time of the process, user and system. It is that of the one thread that works: with eager compilation and
// without tier-up no other thread has anything to do for this one, and no JavaScript is allocated while the clock runs.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

const tier = process.argv[2];
// Parsed at run time, because this syntax is a mistake without --allow-natives-syntax.
const isLiftoff = new Function("run", "return %IsLiftoffFunction(run)");

const runs = new Map();
let compiled = 0;

function cpuNanoseconds(work) {
  const before = process.cpuUsage();
  const result = work();
  const { user, system } = process.cpuUsage(before);
  return [result, (user + system) * 1000];
}

// The bytes followed by an empty custom section of a name that no other has: V8 keeps a cache of compiled modules by their
// bytes, and a hit would measure the cache.
function unlike(bytes) {
  const name = new TextEncoder().encode(`round ${String(compiled++).padStart(8, "0")}`);
  const section = new Uint8Array([0, name.length + 1, name.length, ...name]);
  const unique = new Uint8Array(bytes.length + section.length);
  unique.set(bytes);
  unique.set(section, bytes.length);
  return unique;
}

const commands = {
  load(name, path) {
    const module = new WebAssembly.Module(readFileSync(path));
    const { run } = new WebAssembly.Instance(module).exports;
    runs.set(name, run);
    return "ok";
  },
  run(name, n) {
    const run = runs.get(name);
    if (run === undefined) return `error no module is loaded as ${name}`;
    const [sum, nanoseconds] = cpuNanoseconds(() => run(Number(n)));
    if (isLiftoff(run) !== (tier === "liftoff")) return `error ${name} did not run in ${tier}`;
    return `ok ${BigInt.asUintN(64, sum).toString(16).padStart(16, "0")} ${nanoseconds}`;
  },
  compile(path) {
    const bytes = unlike(readFileSync(path));
    const [, nanoseconds] = cpuNanoseconds(() => new WebAssembly.Module(bytes));
    return `ok ${nanoseconds}`;
  },
};

function answer(line) {
  const [command, ...words] = line.split(" ");
  if (!Object.hasOwn(commands, command)) return `error there is no command ${command}`;
  try {
    return commands[command](...words);
  } catch (error) {
    const kind = error instanceof WebAssembly.CompileError ? "unsupported" : "error";
    return `${kind} ${String(error).replaceAll("\n", " ")}`;
  }
}

if (tier !== "liftoff" && tier !== "turbofan") throw new Error(`there is no tier ${tier}`);
console.log(`ready node ${process.versions.node}, V8 ${process.versions.v8}`);
for await (const line of createInterface({ input: process.stdin })) console.log(answer(line));
