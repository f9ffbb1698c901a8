// The program of benchmarks/contender.py for the contenders of Node; see there.
export async function main({ setup, fill, work, sender }) {
  const [command, url, ...rest] = process.argv.slice(2);
  // Resolved when it is written: what a pipe has not taken is lost at the exit.
  const say = (result) =>
    new Promise((resolve) => process.stdout.write(JSON.stringify(result) + "\n", resolve));
  const now = () => process.hrtime.bigint();
  const counting = (expected) => {
    const count = { seen: 0, first: 0n, last: 0n, latencies: [] };
    let finish;
    count.done = new Promise((resolve) => (finish = resolve));
    count.handle = (sent) => {
      const at = now();
      if (sent) count.latencies.push(Number(at - BigInt(sent)) / 1e6);
      if (!count.first) count.first = at;
      if (++count.seen === expected) {
        count.last = at;
        finish();
      }
    };
    return count;
  };
  if (command === "setup") await setup(url);
  else if (command === "fill") await fill(url, Number(rest[0]));
  else if (command === "drain") {
    const count = counting(Number(rest[0]));
    const began = now();
    await work(url, count.handle, count.done);
    await say({ seconds: Number(count.last - began) / 1e9, from_first: Number(count.last - count.first) / 1e9 });
  } else if (command === "serve") {
    const count = counting(Number(rest[0]));
    await say({ ready: true });
    await work(url, count.handle, count.done);
    await say({ latencies_ms: count.latencies });
  } else if (command === "send") {
    const send = await sender(url);
    let due = performance.now();
    for (let n = 0; n < Number(rest[0]); n++) {
      due += -Math.log(1 - Math.random()) * Number(rest[1]) * 1000;
      const wait = due - performance.now();
      if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
      await send(String(now()));
    }
  }
  process.exit(0);
}
