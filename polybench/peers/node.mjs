// V8 as a peer: commands on standard input, an answer per line on standard output.
//
//   load NAME PATH       compile and instantiate a module              ok | unsupported WHY | error WHY
//   run NAME ARGUMENT    `run(ARGUMENT)`, or, where there is none,     ok CHECKSUM CPU WALL
//                        `prepare(ARGUMENT)`, `kernel()`, `checksum()`
//   dump NAME PATH       write the live-out arrays to a file           ok
//   compile PATH         compile a module, eagerly and whole           ok NANOSECONDS
//
// The first line is `ready DESCRIPTION`. CHECKSUM is 16 hexadecimal digits, times are nanoseconds of `run` or `kernel` alone. A path
// is the rest of its line.
//
// The tier is chosen by V8's own flags on the command line of node; the script's one argument, `liftoff` or `turbofan`, says which
// it is, and every run is checked against it. V8 11 with no more than `--liftoff --no-wasm-tier-up` replaces hot functions by
// TurboFan's code all the same, until `--no-wasm-dynamic-tiering` is said too.
//
// CPU time is that of the process, user and system. It is that of the one thread that works: with eager compilation and
// without tier-up no other thread has anything to do for this one, and no JavaScript is allocated while the clock runs.
import { openSync, closeSync, writeSync, readFileSync } from "node:fs";
import { createInterface } from "node:readline";

const tier = process.argv[2];
// Parsed at run time, because this syntax is a mistake without --allow-natives-syntax.
const isLiftoff = new Function("run", "return %IsLiftoffFunction(run)");

const loaded = new Map();
let compiled = 0;

// What `work` gives, nanoseconds of CPU and on the wall.
function timed(work) {
  const began = process.hrtime.bigint();
  const before = process.cpuUsage();
  const result = work();
  const { user, system } = process.cpuUsage(before);
  const wall = process.hrtime.bigint() - began;
  return [result, (user + system) * 1000, wall];
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

function instance(name) {
  const exports = loaded.get(name);
  if (exports === undefined) throw new Error(`no module is loaded as ${name}`);
  return exports;
}

function writeAll(file, bytes) {
  for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
}

const commands = {
  load(name, path) {
    // First, so that two large memories need not exist at once.
    loaded.delete(name);
    const module = new WebAssembly.Module(readFileSync(path));
    loaded.set(name, new WebAssembly.Instance(module).exports);
    return "ok";
  },
  run(name, argument) {
    const exports = instance(name);
    const measured = exports.run ?? exports.kernel;
    const number = Number(argument);
    if (exports.run === undefined) {
      const problem = exports.prepare(number);
      if (problem !== 0) return `error prepare answered ${problem}`;
    }
    const [result, cpu, wall] = timed(() => measured(number));
    if (isLiftoff(measured) !== (tier === "liftoff")) return `error ${name} did not run in ${tier}`;
    const sum = exports.run === undefined ? exports.checksum() : result;
    return `ok ${BigInt.asUintN(64, sum).toString(16).padStart(16, "0")} ${cpu} ${wall}`;
  },
  dump(name, path) {
    const { memory, outputs, output, output_bytes } = instance(name);
    const file = openSync(path, "w");
    try {
      for (let i = 0; i < outputs(); i++) {
        writeAll(file, new Uint8Array(memory.buffer, output(i) >>> 0, Number(output_bytes(i))));
      }
    } finally {
      closeSync(file);
    }
    return "ok";
  },
  compile(path) {
    const bytes = unlike(readFileSync(path));
    const [, cpu] = timed(() => new WebAssembly.Module(bytes));
    return `ok ${cpu}`;
  },
};

// The command, at most one name, and a path or number, which is the rest of the line.
function words(line) {
  const [, command, rest] = /^(\S*) ?(.*)$/.exec(line);
  const split = rest.indexOf(" ");
  return command === "compile" || split < 0 ? [command, rest] : [command, rest.slice(0, split), rest.slice(split + 1)];
}

function answer(line) {
  const [command, ...operands] = words(line);
  if (!Object.hasOwn(commands, command)) return `error there is no command ${command}`;
  try {
    return commands[command](...operands);
  } catch (error) {
    const kind = error instanceof WebAssembly.CompileError ? "unsupported" : "error";
    return `${kind} ${String(error).replaceAll("\n", " ")}`;
  }
}

if (tier !== "liftoff" && tier !== "turbofan") throw new Error(`there is no tier ${tier}`);
console.log(`ready node ${process.versions.node}, V8 ${process.versions.v8}`);
for await (const line of createInterface({ input: process.stdin })) console.log(answer(line));
