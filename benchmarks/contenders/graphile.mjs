// graphile-worker, with the local queue and batched completion that its documents advise for speed, and without
// a line in its log for each job.
import { Logger, makeWorkerUtils, run, runMigrations } from "graphile-worker";
import pg from "pg";
import { main } from "./contender.mjs";

await main({
  setup: (url) => runMigrations({ connectionString: url }),
  fill: async (url, count) => {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    await client.query(
      `select graphile_worker.add_jobs(array(
         select json_populate_record(null::graphile_worker.job_spec, '{"identifier":"noop","payload":{}}'::json)
         from generate_series(1, ${count})))`,
    );
    await client.end();
  },
  work: async (url, handle, done) => {
    const runner = await run({
      connectionString: url,
      noHandleSignals: true,
      logger: new Logger(() => () => {}),
      taskList: { noop: async (payload) => handle(payload.sent) },
      preset: {
        worker: {
          concurrentJobs: 24,
          maxPoolSize: 25,
          pollInterval: 2000,
          localQueue: { size: 500 },
          completeJobBatchDelay: 0,
          failJobBatchDelay: 0,
        },
      },
    });
    await done;
    await runner.stop();
  },
  sender: async (url) => {
    const utils = await makeWorkerUtils({ connectionString: url });
    return (sent) => utils.addJob("noop", { sent });
  },
});
