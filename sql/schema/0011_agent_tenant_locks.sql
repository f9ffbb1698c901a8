-- Who may work for a tenant, until when, under which run.

-- Rows come, are renewed and go thousands of times a second, so vacuum must come round early and finish
-- fast, and a page keeps room for the next version of its rows.
create table reactor_blueprint.agent_tenant_locks (
  id uuid primary key default reactor.uuid7(),
  tenant_id uuid not null unique references public.tenants (id) on delete cascade,
  run_id uuid references public.agent_autonomous_runs (id) on delete set null,
  locked_at timestamptz not null default now(),
  expires_at timestamptz not null,
  lock_holder text
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);

create index idx_tenant_locks_expires on reactor_blueprint.agent_tenant_locks (expires_at);
-- Ours: the end of a run (retention) must find its lock.
create index idx_tenant_locks_run on reactor_blueprint.agent_tenant_locks (run_id);

select reactor.adopt_table('agent_tenant_locks');
select reactor.isolate('public.agent_tenant_locks');
