-- Actions that a policy stopped, or would have.
create table reactor_blueprint.agent_policy_violations (
  id uuid primary key default reactor.uuid7(),
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  run_id uuid references public.agent_autonomous_runs (id) on delete set null,
  violation_type text not null,
  action_type text,
  action_data jsonb,
  reason text not null,
  blocked boolean not null default true,
  created_at timestamptz not null default now()
);

create index idx_policy_violations_tenant on reactor_blueprint.agent_policy_violations (tenant_id, created_at desc);
create index idx_policy_violations_type on reactor_blueprint.agent_policy_violations (tenant_id, violation_type, created_at desc);
-- Ours: the end of a run (retention) must find what refers to it, and retention the oldest rows.
create index idx_policy_violations_run on reactor_blueprint.agent_policy_violations (run_id) where run_id is not null;
create index idx_policy_violations_age on reactor_blueprint.agent_policy_violations using brin (created_at) with (autosummarize = on);

select reactor.adopt_table('agent_policy_violations');
select reactor.isolate('public.agent_policy_violations');
