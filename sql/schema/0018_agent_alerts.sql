-- What an operator of a tenant must hear of.
create table reactor_blueprint.agent_alerts (
  id uuid primary key default reactor.uuid7(),
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  alert_type text not null,
  severity text not null check (severity in ('info', 'warning', 'critical')),
  message text,
  metadata jsonb not null default '{}',
  acknowledged boolean not null default false,
  acknowledged_at timestamptz,
  acknowledged_by uuid references public.profiles (id) on delete set null,
  created_at timestamptz not null default now()
);

create index idx_agent_alerts_unacked on reactor_blueprint.agent_alerts (tenant_id, created_at desc) where acknowledged = false;
-- Ours: the same alert within the hour is recorded but not delivered again.
create index idx_agent_alerts_type on reactor_blueprint.agent_alerts (tenant_id, alert_type, created_at desc);
-- Ours: deleting a person must find what they acknowledged, and retention the oldest rows.
create index idx_agent_alerts_acknowledged_by on reactor_blueprint.agent_alerts (acknowledged_by) where acknowledged_by is not null;
create index idx_agent_alerts_age on reactor_blueprint.agent_alerts (created_at) where acknowledged;

select reactor.adopt_table('agent_alerts', p_words => '{
  "severity": {"low": "info", "notice": "info", "medium": "warning", "warn": "warning", "unknown": "warning",
               "high": "critical", "error": "critical", "fatal": "critical"}
}');
select reactor.isolate('public.agent_alerts');
