-- Which hours were reflected on, so that hours that passed while no replica lived are made good. Written
-- by reactor.record_reflections().
create table if not exists reactor.reflected_hours (
    hour timestamptz primary key,
    tenants int not null,
    reflected_at timestamptz not null default clock_timestamp()
);

comment on table reactor.reflected_hours is 'hours whose agent_hourly_reflections were written';
revoke all on reactor.reflected_hours from public;
grant select on reactor.reflected_hours to reactor;

-- Hourly reflections and rules read the runs of an hour, of all tenants. Runs arrive in the order of time,
-- which is what BRIN needs: it costs the claim next to nothing.
create index if not exists agent_autonomous_runs_started_brin
on public.agent_autonomous_runs using brin (started_at) with (pages_per_range = 16);

-- The week's emails, for the rule about unusual hours: few runs send any.
create index if not exists agent_autonomous_runs_emails
on public.agent_autonomous_runs (completed_at) where emails_sent > 0;
