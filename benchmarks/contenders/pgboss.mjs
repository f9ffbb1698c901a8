// pg-boss, woken by notifications and fetching without a pause while batches are full, as its documents
// advise; its handler takes an array of 1,000, so a job is not a call.
import { PgBoss } from "pg-boss";
import { main } from "./contender.mjs";

const start = async (url) => {
  const boss = new PgBoss({ connectionString: url, useListenNotify: true, supervise: false, schedule: false });
  boss.on("error", console.error);
  await boss.start();
  return boss;
};

await main({
  setup: async (url) => {
    const boss = await start(url);
    await boss.createQueue("q", { notify: true });
    await boss.stop({ graceful: false });
  },
  fill: async (url, count) => {
    const boss = await start(url);
    for (let n = 0; n < count; n += 1000) {
      await boss.insert("q", Array.from({ length: 1000 }, () => ({ data: {} })));
    }
    await boss.stop({ graceful: false });
  },
  work: async (url, handle, done) => {
    const boss = await start(url);
    await boss.work("q", { batchSize: 1000, pollingIntervalSeconds: 0.5, burstWhenBatchFull: true }, async (jobs) => {
      for (const job of jobs) handle(job.data.sent);
    });
    await done;
    await boss.stop({ graceful: false });
  },
  sender: async (url) => {
    const boss = await start(url);
    return (sent) => boss.send("q", { sent });
  },
});
