CREATE SCHEMA auth;

ALTER SCHEMA auth OWNER TO postgres;

CREATE SCHEMA reactor;

ALTER SCHEMA reactor OWNER TO reactor_owner;

CREATE FUNCTION auth.uid() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    BEGIN ATOMIC … END;

ALTER FUNCTION auth.uid() OWNER TO postgres;

CREATE FUNCTION public.acquire_tenant_lock(p_tenant_id uuid, p_lock_holder text, p_duration_minutes integer DEFAULT 60) RETURNS uuid
    LANGUAGE plpgsql
    SET search_path TO ''
    AS '…';

ALTER FUNCTION public.acquire_tenant_lock(p_tenant_id uuid, p_lock_holder text, p_duration_minutes integer) OWNER TO postgres;

CREATE FUNCTION public.check_and_increment_rate_limit(p_tenant_id uuid, p_action_type text, p_max_allowed integer) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO ''
    AS '…';

ALTER FUNCTION public.check_and_increment_rate_limit(p_tenant_id uuid, p_action_type text, p_max_allowed integer) OWNER TO postgres;

CREATE FUNCTION public.extend_tenant_lock(p_tenant_id uuid, p_additional_minutes integer DEFAULT 30) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO ''
    AS '…';

ALTER FUNCTION public.extend_tenant_lock(p_tenant_id uuid, p_additional_minutes integer) OWNER TO postgres;

CREATE FUNCTION public.extend_tenant_lock(p_tenant_id uuid, p_run_id uuid, p_additional_minutes integer) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO ''
    AS '…';

ALTER FUNCTION public.extend_tenant_lock(p_tenant_id uuid, p_run_id uuid, p_additional_minutes integer) OWNER TO postgres;

CREATE FUNCTION reactor.now() RETURNS timestamp with time zone
    LANGUAGE sql PARALLEL SAFE
    RETURN …;

ALTER FUNCTION reactor.now() OWNER TO reactor_owner;

CREATE FUNCTION reactor.uuid7() RETURNS uuid
    LANGUAGE sql PARALLEL SAFE
    RETURN …;

ALTER FUNCTION reactor.uuid7() OWNER TO reactor_owner;

CREATE TABLE public.engagement_clocks (
    id uuid DEFAULT reactor.uuid7() NOT NULL,
    tenant_id uuid NOT NULL,
    client_id uuid,
    contact_id uuid,
    last_touch_at timestamp with time zone,
    last_touch_type text,
    last_touch_by uuid,
    next_touch_due timestamp with time zone,
    engagement_interval_days integer DEFAULT 21 NOT NULL,
    evaluated_at timestamp with time zone DEFAULT now() NOT NULL,
    is_compliant boolean GENERATED ALWAYS AS (COALESCE((next_touch_due > evaluated_at), true)) STORED,
    days_overdue integer GENERATED ALWAYS AS ((COALESCE(GREATEST(floor((EXTRACT(epoch FROM (evaluated_at - next_touch_due)) / (86400)::numeric)), (0)::numeric), (0)::numeric))::integer) STORED,
    priority_score numeric(5,2) DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT engagement_clocks_party_check CHECK (((client_id IS NOT NULL) OR (contact_id IS NOT NULL)))
)
WITH (autovacuum_vacuum_scale_factor='0.05', autovacuum_analyze_scale_factor='0.05');

ALTER TABLE public.engagement_clocks OWNER TO postgres;

CREATE FUNCTION public.get_engagement_violations(p_tenant_id uuid) RETURNS TABLE(clock_id uuid, client_id uuid, contact_id uuid, days_overdue integer, last_touch_at timestamp with time zone, next_touch_due timestamp with time zone, priority_score numeric)
    LANGUAGE sql STABLE
    SET search_path TO ''
    BEGIN ATOMIC … END;

ALTER FUNCTION public.get_engagement_violations(p_tenant_id uuid) OWNER TO postgres;

CREATE FUNCTION public.release_tenant_lock(p_tenant_id uuid, p_run_id uuid, p_status text DEFAULT 'completed'::text) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO ''
    AS '…';

ALTER FUNCTION public.release_tenant_lock(p_tenant_id uuid, p_run_id uuid, p_status text) OWNER TO postgres;

CREATE FUNCTION public.update_engagement_clock(p_tenant_id uuid, p_client_id uuid, p_contact_id uuid, p_touch_type text, p_touched_by uuid) RETURNS uuid
    LANGUAGE plpgsql
    SET search_path TO ''
    AS '…';

ALTER FUNCTION public.update_engagement_clock(p_tenant_id uuid, p_client_id uuid, p_contact_id uuid, p_touch_type text, p_touched_by uuid) OWNER TO postgres;

CREATE FUNCTION reactor.abandon(p_tenants uuid[], p_runs uuid[], p_interrupted boolean, p_reason text DEFAULT NULL::text) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET lock_timeout TO '5s'
    AS '…';

ALTER FUNCTION reactor.abandon(p_tenants uuid[], p_runs uuid[], p_interrupted boolean, p_reason text) OWNER TO reactor_owner;

CREATE FUNCTION reactor.acknowledge(p_tenants uuid[], p_runs uuid[], p_done bigint[], p_verdicts jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS '…';

ALTER FUNCTION reactor.acknowledge(p_tenants uuid[], p_runs uuid[], p_done bigint[], p_verdicts jsonb) OWNER TO reactor_owner;

CREATE FUNCTION reactor.acknowledge_alert(p_alert uuid, p_by uuid DEFAULT NULL::uuid) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.acknowledge_alert(p_alert uuid, p_by uuid) OWNER TO reactor_owner;

CREATE FUNCTION reactor.alert_dead(p_ids bigint[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    AS '…';

ALTER FUNCTION reactor.alert_dead(p_ids bigint[]) OWNER TO reactor_owner;

CREATE FUNCTION reactor.alert_is_spoken_for(p_alert_id uuid) RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.alert_is_spoken_for(p_alert_id uuid) OWNER TO reactor_owner;

CREATE FUNCTION reactor.announce_channels() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.announce_channels() OWNER TO reactor_owner;

CREATE FUNCTION reactor.announce_clock() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.announce_clock() OWNER TO reactor_owner;

CREATE FUNCTION reactor.announce_gate() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.announce_gate() OWNER TO reactor_owner;

CREATE FUNCTION reactor.apply_retention(p_term bigint DEFAULT NULL::bigint, p_limit integer DEFAULT 5000, p_runs interval DEFAULT '90 days'::interval, p_violations interval DEFAULT '90 days'::interval, p_email_failures interval DEFAULT '30 days'::interval, p_reflections interval DEFAULT '180 days'::interval, p_rate_limits interval DEFAULT '2 days'::interval, p_alerts interval DEFAULT '90 days'::interval) RETURNS TABLE(relation text, removed bigint, dropped integer, more boolean)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.apply_retention(p_term bigint, p_limit integer, p_runs interval, p_violations interval, p_email_failures interval, p_reflections interval, p_rate_limits interval, p_alerts interval) OWNER TO reactor_owner;

CREATE FUNCTION reactor.arm(p_slot integer, p_armed boolean, p_process text DEFAULT NULL::text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.arm(p_slot integer, p_armed boolean, p_process text) OWNER TO reactor_owner;

CREATE FUNCTION reactor.await_settlement() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.await_settlement() OWNER TO reactor_owner;

CREATE FUNCTION reactor.backlog(p_most integer DEFAULT 5000, p_groups integer DEFAULT 1000, OUT ready bigint, OUT in_flight bigint, OUT delayed bigint, OUT parked bigint, OUT dead bigint, OUT oldest_seconds double precision, OUT tenants_waiting bigint) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    SET max_parallel_workers_per_gather TO '0'
    SET plan_cache_mode TO 'force_custom_plan'
    SET jit TO 'off'
    AS '…';

ALTER FUNCTION reactor.backlog(p_most integer, p_groups integer, OUT ready bigint, OUT in_flight bigint, OUT delayed bigint, OUT parked bigint, OUT dead bigint, OUT oldest_seconds double precision, OUT tenants_waiting bigint) OWNER TO reactor_owner;

CREATE FUNCTION reactor.beat(p_replica text, p_tenants uuid[], p_runs uuid[], p_lease interval, p_patience interval, p_process text DEFAULT NULL::text) RETURNS TABLE(lost uuid[], peers text[])
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.beat(p_replica text, p_tenants uuid[], p_runs uuid[], p_lease interval, p_patience interval, p_process text) OWNER TO reactor_owner;

CREATE FUNCTION reactor.begin_email(p_intent uuid, p_provider text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.begin_email(p_intent uuid, p_provider text) OWNER TO reactor_owner;

CREATE FUNCTION reactor.break_lock(p_id uuid, p_reason text, p_force boolean DEFAULT false) RETURNS TABLE(tenant_id uuid, run_id uuid, lock_holder text, in_flight integer, broken boolean)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.break_lock(p_id uuid, p_reason text, p_force boolean) OWNER TO reactor_owner;

CREATE FUNCTION reactor.bring_alerts_again(p_tenant_id uuid) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.bring_alerts_again(p_tenant_id uuid) OWNER TO reactor_owner;

CREATE FUNCTION reactor.bury(p_tenants uuid[], p_runs uuid[], p_verdicts jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    AS '…';

ALTER FUNCTION reactor.bury(p_tenants uuid[], p_runs uuid[], p_verdicts jsonb) OWNER TO reactor_owner;

CREATE FUNCTION reactor.bury_orphans(p_tenants uuid[], p_limit integer DEFAULT 5000) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.bury_orphans(p_tenants uuid[], p_limit integer) OWNER TO reactor_owner;

CREATE FUNCTION reactor.bury_unreadable(p_tenant uuid, p_limit integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.bury_unreadable(p_tenant uuid, p_limit integer) OWNER TO reactor_owner;

CREATE TABLE public.profiles (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    tenant_id uuid,
    role text DEFAULT 'user'::text NOT NULL,
    email text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT profiles_role_check CHECK ((role = ANY (ARRAY['user'::text, 'admin'::text, 'super_admin'::text])))
);

ALTER TABLE public.profiles OWNER TO postgres;

CREATE FUNCTION reactor.caller_tenant() RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER PARALLEL SAFE
    SET search_path TO ''
    BEGIN ATOMIC … END;

ALTER FUNCTION reactor.caller_tenant() OWNER TO reactor_owner;

CREATE FUNCTION reactor.checkpoint(p_tenant uuid, p_run uuid, p_done bigint[], p_verdicts jsonb, p_counts jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.checkpoint(p_tenant uuid, p_run uuid, p_done bigint[], p_verdicts jsonb, p_counts jsonb) OWNER TO reactor_owner;

CREATE FUNCTION reactor.choose_dead(p_ids bigint[] DEFAULT NULL::bigint[], p_type text DEFAULT NULL::text, p_tenant uuid DEFAULT NULL::uuid, p_since interval DEFAULT NULL::interval, p_limit integer DEFAULT NULL::integer) RETURNS TABLE(id bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.choose_dead(p_ids bigint[], p_type text, p_tenant uuid, p_since interval, p_limit integer) OWNER TO reactor_owner;

CREATE FUNCTION reactor.claim(p_replica text, p_tenants integer, p_batch integer, p_lease interval, p_after uuid, p_gated text[], p_peers text[] DEFAULT NULL::text[], p_capped text[] DEFAULT '{}'::text[], p_free integer[] DEFAULT '{}'::integer[]) RETURNS TABLE(tenant_id uuid, run_id uuid, id bigint, event_id uuid, event_type text, subject_id uuid, payload text, priority integer, attempts integer, interruptions integer, created_at timestamp with time zone, traceparent text, cause_id bigint, depth integer)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.claim(p_replica text, p_tenants integer, p_batch integer, p_lease interval, p_after uuid, p_gated text[], p_peers text[], p_capped text[], p_free integer[]) OWNER TO reactor_owner;

CREATE FUNCTION reactor.claim(p_replica text, p_tenants integer, p_batch integer, p_lease interval, p_after uuid, p_gated text[], p_peers text[], p_capped text[], p_free integer[], p_held uuid[]) RETURNS TABLE(tenant_id uuid, run_id uuid, id bigint, event_id uuid, event_type text, subject_id uuid, payload text, priority integer, attempts integer, interruptions integer, created_at timestamp with time zone, traceparent text, cause_id bigint, depth integer)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_sort TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET jit TO 'off'
    AS '…';

ALTER FUNCTION reactor.claim(p_replica text, p_tenants integer, p_batch integer, p_lease interval, p_after uuid, p_gated text[], p_peers text[], p_capped text[], p_free integer[], p_held uuid[]) OWNER TO reactor_owner;

CREATE FUNCTION reactor.clean_fleet(p_term bigint) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.clean_fleet(p_term bigint) OWNER TO reactor_owner;

CREATE FUNCTION reactor.closed_sequences(p_table regclass) RETURNS SETOF regclass
    LANGUAGE sql STABLE
    SET search_path TO ''
    BEGIN ATOMIC … END;

ALTER FUNCTION reactor.closed_sequences(p_table regclass) OWNER TO reactor_owner;

CREATE FUNCTION reactor.current_tenant() RETURNS uuid
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.current_tenant() OWNER TO reactor_owner;

CREATE FUNCTION reactor.cut_off() RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.cut_off() OWNER TO reactor_owner;

CREATE FUNCTION reactor.discard_dead(p_ids bigint[] DEFAULT NULL::bigint[], p_type text DEFAULT NULL::text, p_tenant uuid DEFAULT NULL::uuid, p_since interval DEFAULT NULL::interval, p_limit integer DEFAULT 1000, p_reason text DEFAULT NULL::text) RETURNS TABLE(id bigint)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.discard_dead(p_ids bigint[], p_type text, p_tenant uuid, p_since interval, p_limit integer, p_reason text) OWNER TO reactor_owner;

CREATE FUNCTION reactor.drop_other_signatures(p_name name, p_keep text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.drop_other_signatures(p_name name, p_keep text[]) OWNER TO reactor_owner;

CREATE FUNCTION reactor.drop_partitions(p_parent regclass, p_keep interval, p_limit integer) RETURNS TABLE(removed bigint, dropped integer, more boolean)
    LANGUAGE plpgsql
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.drop_partitions(p_parent regclass, p_keep interval, p_limit integer) OWNER TO reactor_owner;

CREATE TABLE reactor.schedules (
    name text NOT NULL,
    every interval NOT NULL,
    due_at timestamp with time zone NOT NULL,
    slot_at timestamp with time zone,
    term bigint,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    replica text,
    failures integer DEFAULT 0 NOT NULL,
    last_error text
);

ALTER TABLE reactor.schedules OWNER TO reactor_owner;

CREATE FUNCTION reactor.due_jobs(p_jobs text[]) RETURNS text[]
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO ''
    BEGIN ATOMIC … END;

ALTER FUNCTION reactor.due_jobs(p_jobs text[]) OWNER TO reactor_owner;

CREATE FUNCTION reactor.emit(tenant_id uuid, event_type text, payload jsonb DEFAULT '{}'::jsonb, subject_id uuid DEFAULT NULL::uuid, delay interval DEFAULT '00:00:00'::interval, priority integer DEFAULT 0, dedup_key text DEFAULT NULL::text) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.emit(tenant_id uuid, event_type text, payload jsonb, subject_id uuid, delay interval, priority integer, dedup_key text) OWNER TO reactor_owner;

CREATE FUNCTION reactor.enable_alert_channel(p_tenant_id uuid, p_channel text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.enable_alert_channel(p_tenant_id uuid, p_channel text) OWNER TO reactor_owner;

CREATE FUNCTION reactor.engagement_score(p_days_overdue integer, p_is_primary boolean, p_title text) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path TO ''
    RETURN …;

ALTER FUNCTION reactor.engagement_score(p_days_overdue integer, p_is_primary boolean, p_title text) OWNER TO reactor_owner;

CREATE FUNCTION reactor.enlist(p_replica text, p_patience interval, p_version text, p_info jsonb) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.enlist(p_replica text, p_patience interval, p_version text, p_info jsonb) OWNER TO reactor_owner;

CREATE FUNCTION reactor.ensure_partitions(p_term bigint DEFAULT NULL::bigint, p_months integer DEFAULT 3, p_weeks integer DEFAULT 6) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.ensure_partitions(p_term bigint, p_months integer, p_weeks integer) OWNER TO reactor_owner;

CREATE FUNCTION reactor.explain_event(p_id bigint) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.explain_event(p_id bigint) OWNER TO reactor_owner;

CREATE TABLE reactor.dead_events (
    id bigint NOT NULL,
    event_id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    event_type text NOT NULL,
    subject_id uuid,
    payload jsonb NOT NULL,
    priority integer NOT NULL,
    attempts integer NOT NULL,
    interruptions integer NOT NULL,
    created_at timestamp with time zone NOT NULL,
    died_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    reason text NOT NULL,
    run_id uuid,
    errors jsonb DEFAULT '[]'::jsonb NOT NULL,
    traceparent text,
    cause_id bigint,
    depth integer DEFAULT 0 NOT NULL,
    dedup_key text
);

ALTER TABLE reactor.dead_events OWNER TO reactor_owner;

CREATE TABLE reactor.events (
    id bigint NOT NULL,
    event_id uuid DEFAULT gen_random_uuid() NOT NULL,
    tenant_id uuid NOT NULL,
    event_type text NOT NULL,
    subject_id uuid,
    payload jsonb DEFAULT '{}'::jsonb NOT NULL,
    priority integer DEFAULT 0 NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    interruptions integer DEFAULT 0 NOT NULL,
    available_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    errors jsonb DEFAULT '[]'::jsonb NOT NULL,
    traceparent text,
    cause_id bigint,
    depth integer DEFAULT 0 NOT NULL,
    dedup_key text,
    ready_at timestamp with time zone
)
WITH (autovacuum_vacuum_threshold='2000', autovacuum_vacuum_scale_factor='0.02', autovacuum_vacuum_insert_threshold='-1', autovacuum_vacuum_cost_delay='0', autovacuum_analyze_threshold='5000');

ALTER TABLE reactor.events OWNER TO reactor_owner;

CREATE TABLE reactor.history (
    id bigint NOT NULL,
    event_id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    event_type text NOT NULL,
    subject_id uuid,
    payload jsonb NOT NULL,
    priority integer NOT NULL,
    attempts integer NOT NULL,
    interruptions integer NOT NULL,
    created_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    outcome text NOT NULL,
    reason text,
    run_id uuid,
    errors jsonb DEFAULT '[]'::jsonb NOT NULL,
    traceparent text,
    cause_id bigint,
    depth integer DEFAULT 0 NOT NULL,
    CONSTRAINT history_outcome_check CHECK ((outcome = ANY (ARRAY['handled'::text, 'discarded'::text])))
)
PARTITION BY RANGE (finished_at);

ALTER TABLE reactor.history OWNER TO reactor_owner;

CREATE FUNCTION reactor.find_event(p_event_id uuid) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO ''
    BEGIN ATOMIC … END;

ALTER FUNCTION reactor.find_event(p_event_id uuid) OWNER TO reactor_owner;

CREATE FUNCTION reactor.finish_job(p_term bigint, p_name text, p_error text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.finish_job(p_term bigint, p_name text, p_error text) OWNER TO reactor_owner;

CREATE FUNCTION reactor.forget_history(p_term bigint, p_keep interval, p_limit integer DEFAULT 5000) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.forget_history(p_term bigint, p_keep interval, p_limit integer) OWNER TO reactor_owner;

CREATE FUNCTION reactor.forget_watch(p_schema text, p_table text, p_type text) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.forget_watch(p_schema text, p_table text, p_type text) OWNER TO reactor_owner;

CREATE FUNCTION reactor.free_name(p_replica text, p_process text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.free_name(p_replica text, p_process text) OWNER TO reactor_owner;

CREATE TABLE public.agent_alerts (
    id uuid DEFAULT reactor.uuid7() NOT NULL,
    tenant_id uuid NOT NULL,
    alert_type text NOT NULL,
    severity text NOT NULL,
    message text,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    acknowledged boolean DEFAULT false NOT NULL,
    acknowledged_at timestamp with time zone,
    acknowledged_by uuid,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT agent_alerts_severity_check CHECK ((severity = ANY (ARRAY['info'::text, 'warning'::text, 'critical'::text])))
);

ALTER TABLE public.agent_alerts OWNER TO postgres;

CREATE TABLE public.agent_autonomous_runs (
    id uuid DEFAULT reactor.uuid7() NOT NULL,
    tenant_id uuid NOT NULL,
    cycle_number integer DEFAULT 1 NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    completed_at timestamp with time zone,
    phase text,
    status text DEFAULT 'running'::text NOT NULL,
    actions_planned integer DEFAULT 0 NOT NULL,
    actions_executed integer DEFAULT 0 NOT NULL,
    actions_blocked integer DEFAULT 0 NOT NULL,
    emails_sent integer DEFAULT 0 NOT NULL,
    cards_created integer DEFAULT 0 NOT NULL,
    trigger text,
    error_message text,
    duration_ms integer,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT agent_autonomous_runs_phase_check CHECK ((phase = ANY (ARRAY['plan'::text, 'act'::text, 'react'::text, 'reflect'::text, 'completed'::text, 'failed'::text]))),
    CONSTRAINT agent_autonomous_runs_status_check CHECK ((status = ANY (ARRAY['running'::text, 'completed'::text, 'failed'::text, 'timeout'::text]))),
    CONSTRAINT agent_autonomous_runs_trigger_check CHECK ((trigger = ANY (ARRAY['scheduled'::text, 'manual'::text, 'event'::text])))
)
PARTITION BY RANGE (id);

ALTER TABLE public.agent_autonomous_runs OWNER TO reactor_owner;

CREATE TABLE public.agent_policy_violations (
    id uuid DEFAULT reactor.uuid7() NOT NULL,
    tenant_id uuid NOT NULL,
    run_id uuid,
    violation_type text NOT NULL,
    action_type text,
    action_data jsonb,
    reason text NOT NULL,
    blocked boolean DEFAULT true NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE public.agent_policy_violations OWNER TO postgres;

CREATE TABLE public.email_provider_failures (
    id uuid DEFAULT reactor.uuid7() NOT NULL,
    tenant_id uuid NOT NULL,
    error_type text NOT NULL,
    error_message text,
    provider text DEFAULT 'resend'::text,
    created_at timestamp with time zone DEFAULT now() NOT NULL
)
PARTITION BY RANGE (id);

ALTER TABLE public.email_provider_failures OWNER TO reactor_owner;

CREATE TABLE public.order_processing_exceptions (
    id uuid DEFAULT reactor.uuid7() NOT NULL,
    tenant_id uuid NOT NULL,
    order_id uuid NOT NULL,
    queue_id uuid,
    exception_type text NOT NULL,
    severity text DEFAULT 'warning'::text NOT NULL,
    message text,
    details jsonb,
    resolved boolean DEFAULT false NOT NULL,
    resolved_at timestamp with time zone,
    resolved_by uuid,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT order_processing_exceptions_exception_type_check CHECK ((exception_type = ANY (ARRAY['pricing'::text, 'credit'::text, 'requirements'::text, 'other'::text]))),
    CONSTRAINT order_processing_exceptions_severity_check CHECK ((severity = ANY (ARRAY['info'::text, 'warning'::text, 'error'::text, 'critical'::text])))
);

ALTER TABLE public.order_processing_exceptions OWNER TO postgres;

CREATE TABLE public.order_processing_queue (
    id uuid DEFAULT reactor.uuid7() NOT NULL,
    tenant_id uuid NOT NULL,
    order_id uuid NOT NULL,
    status text DEFAULT 'pending'::text NOT NULL,
    queued_at timestamp with time zone DEFAULT now() NOT NULL,
    processed_at timestamp with time zone,
    pricing_valid boolean,
    credit_valid boolean,
    requirements_valid boolean,
    auto_fixes jsonb DEFAULT '[]'::jsonb NOT NULL,
    CONSTRAINT order_processing_queue_status_check CHECK ((status = ANY (ARRAY['pending'::text, 'processing'::text, 'validated'::text, 'exception'::text, 'skipped'::text])))
)
WITH (fillfactor='85', autovacuum_vacuum_scale_factor='0.05', autovacuum_analyze_scale_factor='0.05');

ALTER TABLE public.order_processing_queue OWNER TO postgres;

CREATE TABLE public.tenants (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    name text NOT NULL,
    is_active boolean DEFAULT true NOT NULL,
    agent_enabled boolean DEFAULT false NOT NULL,
    agent_settings jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE public.tenants OWNER TO postgres;

CREATE FUNCTION reactor.hour_metrics(p_hour timestamp with time zone, p_tenants uuid[] DEFAULT NULL::uuid[]) RETURNS TABLE(tenant_id uuid, runs_completed integer, runs_failed integer, run_ms bigint, actions_planned integer, actions_executed integer, actions_blocked integer, emails_sent integer, cards_created integer, orders_validated integer, orders_with_exceptions integer, exceptions_raised integer, policy_violations integer, email_failures integer, alerts_raised integer, contacts_touched integer, violations_by_policy jsonb, exceptions_by_type jsonb)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO ''
    BEGIN ATOMIC … END;

ALTER FUNCTION reactor.hour_metrics(p_hour timestamp with time zone, p_tenants uuid[]) OWNER TO reactor_owner;

CREATE TABLE reactor.reflected_hours (
    hour timestamp with time zone NOT NULL,
    tenants integer NOT NULL,
    reflected_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

ALTER TABLE reactor.reflected_hours OWNER TO reactor_owner;

CREATE FUNCTION reactor.hours_to_reflect(p_limit integer DEFAULT 48) RETURNS SETOF timestamp with time zone
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO ''
    BEGIN ATOMIC … END;

ALTER FUNCTION reactor.hours_to_reflect(p_limit integer) OWNER TO reactor_owner;

CREATE TABLE public.system_config (
    key text NOT NULL,
    value jsonb NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE public.system_config OWNER TO postgres;

CREATE FUNCTION reactor.is_open(p_tenant uuid) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO ''
    BEGIN ATOMIC … END;

ALTER FUNCTION reactor.is_open(p_tenant uuid) OWNER TO reactor_owner;

CREATE TABLE reactor.watches (
    table_schema text NOT NULL,
    table_name text NOT NULL,
    event_type text NOT NULL,
    operations text[] NOT NULL,
    tenant_column text NOT NULL,
    subject_column text,
    payload_columns text[],
    condition text,
    function_name text NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

ALTER TABLE reactor.watches OWNER TO reactor_owner;

CREATE FUNCTION reactor.is_outdated(p_watch reactor.watches, p_table regclass) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.is_outdated(p_watch reactor.watches, p_table regclass) OWNER TO reactor_owner;

CREATE FUNCTION reactor.isolate(p_table regclass) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.isolate(p_table regclass) OWNER TO reactor_owner;

CREATE FUNCTION reactor.judge_engagement_clock() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.judge_engagement_clock() OWNER TO reactor_owner;

CREATE FUNCTION reactor.keep_history(p_term bigint, p_keep interval DEFAULT '7 days'::interval, p_ahead integer DEFAULT 3) RETURNS TABLE(made integer, dropped integer)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET lock_timeout TO '3s'
    SET "DateStyle" TO 'ISO'
    AS '…';

ALTER FUNCTION reactor.keep_history(p_term bigint, p_keep interval, p_ahead integer) OWNER TO reactor_owner;

CREATE FUNCTION reactor.lead(p_replica text, p_lease interval, p_process text DEFAULT NULL::text) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET lock_timeout TO '3s'
    AS '…';

ALTER FUNCTION reactor.lead(p_replica text, p_lease interval, p_process text) OWNER TO reactor_owner;

CREATE TABLE public.agent_tenant_locks (
    id uuid DEFAULT reactor.uuid7() NOT NULL,
    tenant_id uuid NOT NULL,
    run_id uuid,
    locked_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    lock_holder text
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='1000', autovacuum_vacuum_cost_delay='0');

ALTER TABLE public.agent_tenant_locks OWNER TO postgres;

CREATE FUNCTION reactor.leaseless(p_runs uuid[]) RETURNS uuid[]
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO ''
    BEGIN ATOMIC … END;

ALTER FUNCTION reactor.leaseless(p_runs uuid[]) OWNER TO reactor_owner;

CREATE FUNCTION reactor.let_go(p_parent regclass, p_low uuid, p_high uuid, p_limit integer) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.let_go(p_parent regclass, p_low uuid, p_high uuid, p_limit integer) OWNER TO reactor_owner;

CREATE FUNCTION reactor.list_dead(p_type text DEFAULT NULL::text, p_tenant uuid DEFAULT NULL::uuid, p_since interval DEFAULT NULL::interval, p_limit integer DEFAULT 100, p_died_before timestamp with time zone DEFAULT NULL::timestamp with time zone, p_id_before bigint DEFAULT NULL::bigint) RETURNS TABLE(id bigint, event_id uuid, tenant_id uuid, tenant_name text, event_type text, subject_id uuid, attempts integer, interruptions integer, created_at timestamp with time zone, died_at timestamp with time zone, reason text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO ''
    SET plan_cache_mode TO 'force_custom_plan'
    SET jit TO 'off'
    AS '…';

ALTER FUNCTION reactor.list_dead(p_type text, p_tenant uuid, p_since interval, p_limit integer, p_died_before timestamp with time zone, p_id_before bigint) OWNER TO reactor_owner;

CREATE FUNCTION reactor.list_events(p_state text DEFAULT NULL::text, p_type text DEFAULT NULL::text, p_tenant uuid DEFAULT NULL::uuid, p_after bigint DEFAULT NULL::bigint, p_limit integer DEFAULT 50) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    SET max_parallel_workers_per_gather TO '0'
    SET plan_cache_mode TO 'force_custom_plan'
    SET jit TO 'off'
    AS '…';

ALTER FUNCTION reactor.list_events(p_state text, p_type text, p_tenant uuid, p_after bigint, p_limit integer) OWNER TO reactor_owner;

CREATE FUNCTION reactor.list_locks(p_limit integer DEFAULT 100) RETURNS TABLE(tenant_id uuid, tenant_name text, run_id uuid, lock_holder text, locked_at timestamp with time zone, expires_at timestamp with time zone, in_flight integer, is_expired boolean, by_replica boolean, holder_alive boolean)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.list_locks(p_limit integer) OWNER TO reactor_owner;

CREATE TABLE reactor.replicas (
    replica text NOT NULL,
    slot integer NOT NULL,
    started_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    seen_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    patience interval DEFAULT '00:00:30'::interval NOT NULL,
    version text,
    info jsonb DEFAULT '{}'::jsonb NOT NULL
)
WITH (fillfactor='50', autovacuum_vacuum_threshold='50', autovacuum_vacuum_cost_delay='0');

ALTER TABLE reactor.replicas OWNER TO reactor_owner;

CREATE FUNCTION reactor.list_replicas() RETURNS TABLE(replica text, started_at timestamp with time zone, seen_at timestamp with time zone, alive boolean, version text, info jsonb)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO ''
    BEGIN ATOMIC … END;

ALTER FUNCTION reactor.list_replicas() OWNER TO reactor_owner;

CREATE FUNCTION reactor.list_watches() RETURNS TABLE(table_name text, event_type text, operations text[], tenant_column text, subject_column text, payload_columns text[], condition text, created_at timestamp with time zone, state text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.list_watches() OWNER TO reactor_owner;

CREATE FUNCTION reactor.make_partition(p_parent regclass, p_name name, p_from timestamp with time zone, p_to timestamp with time zone, p_max_moved integer DEFAULT 10000) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.make_partition(p_parent regclass, p_name name, p_from timestamp with time zone, p_to timestamp with time zone, p_max_moved integer) OWNER TO reactor_owner;

CREATE FUNCTION reactor.make_partitions(p_parent regclass, p_by text, p_ahead integer, p_at timestamp with time zone DEFAULT clock_timestamp()) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.make_partitions(p_parent regclass, p_by text, p_ahead integer, p_at timestamp with time zone) OWNER TO reactor_owner;

CREATE FUNCTION reactor.make_probe(p_table regclass, p_function name, p_operations text[]) RETURNS regclass
    LANGUAGE plpgsql
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.make_probe(p_table regclass, p_function name, p_operations text[]) OWNER TO reactor_owner;

CREATE FUNCTION reactor.next_deadline(p_at_most interval, p_jobs text[]) RETURNS interval
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS '…';

ALTER FUNCTION reactor.next_deadline(p_at_most interval, p_jobs text[]) OWNER TO reactor_owner;

CREATE FUNCTION reactor.next_tenant(p_after uuid) RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO ''
    BEGIN ATOMIC … END;

ALTER FUNCTION reactor.next_tenant(p_after uuid) OWNER TO reactor_owner;

CREATE FUNCTION reactor.note_runs(p_runs uuid[], p_ended uuid[], p_counts jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS '…';

ALTER FUNCTION reactor.note_runs(p_runs uuid[], p_ended uuid[], p_counts jsonb) OWNER TO reactor_owner;

CREATE FUNCTION reactor.notifiers_wait() RETURNS boolean
    LANGUAGE sql
    SET search_path TO ''
    BEGIN ATOMIC … END;

ALTER FUNCTION reactor.notifiers_wait() OWNER TO reactor_owner;

CREATE FUNCTION reactor.only_executable_by(p_function regprocedure, p_roles name[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.only_executable_by(p_function regprocedure, p_roles name[]) OWNER TO reactor_owner;

CREATE FUNCTION reactor.open_sequences(p_table regclass) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.open_sequences(p_table regclass) OWNER TO reactor_owner;

CREATE FUNCTION reactor.open_writers(p_timer boolean DEFAULT false) RETURNS text[]
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO ''
    BEGIN ATOMIC … END;

ALTER FUNCTION reactor.open_writers(p_timer boolean) OWNER TO reactor_owner;

CREATE FUNCTION reactor.outdated_protections() RETURNS TABLE(relation regclass, tenant_column name)
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.outdated_protections() OWNER TO reactor_owner;

CREATE FUNCTION reactor.park(p_tenants uuid[], p_gated text[], p_limit integer DEFAULT 5000) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    AS '…';

ALTER FUNCTION reactor.park(p_tenants uuid[], p_gated text[], p_limit integer) OWNER TO reactor_owner;

CREATE FUNCTION reactor.parse_ident_list(p_list text) RETURNS TABLE(name name)
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.parse_ident_list(p_list text) OWNER TO reactor_owner;

CREATE TABLE reactor.set_aside (
    kind text NOT NULL,
    due timestamp with time zone NOT NULL,
    id uuid NOT NULL,
    again_at timestamp with time zone NOT NULL,
    CONSTRAINT set_aside_kind_check CHECK ((kind = ANY (ARRAY['clock'::text, 'lease'::text, 'overdue'::text])))
);

ALTER TABLE reactor.set_aside OWNER TO reactor_owner;

CREATE FUNCTION reactor.place_of(p_kind text) RETURNS TABLE(due timestamp with time zone, id uuid, again_at timestamp with time zone)
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO ''
    BEGIN ATOMIC … END;

ALTER FUNCTION reactor.place_of(p_kind text) OWNER TO reactor_owner;

CREATE FUNCTION reactor.probe_watch(p_table regclass, p_probe regclass, p_tenant_column name, p_condition text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.probe_watch(p_table regclass, p_probe regclass, p_tenant_column name, p_condition text) OWNER TO reactor_owner;

CREATE FUNCTION reactor.protect(p_table regclass, p_tenant_column name DEFAULT 'tenant_id'::name) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET client_min_messages TO 'warning'
    AS '…';

ALTER FUNCTION reactor.protect(p_table regclass, p_tenant_column name) OWNER TO reactor_owner;

CREATE FUNCTION reactor.prune_outbound(p_keep interval, p_limit integer DEFAULT 5000) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.prune_outbound(p_keep interval, p_limit integer) OWNER TO reactor_owner;

CREATE FUNCTION reactor.put_tenant_policies(p_table regclass, p_tenant_column name) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET client_min_messages TO 'warning'
    AS '…';

ALTER FUNCTION reactor.put_tenant_policies(p_table regclass, p_tenant_column name) OWNER TO reactor_owner;

CREATE FUNCTION reactor.put_watch_triggers(p_relation regclass, p_function name, p_operations text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.put_watch_triggers(p_relation regclass, p_function name, p_operations text[]) OWNER TO reactor_owner;

CREATE FUNCTION reactor.raise_alert(p_tenant_id uuid, p_type text, p_severity text, p_message text, p_metadata jsonb DEFAULT '{}'::jsonb, p_quiet interval DEFAULT '01:00:00'::interval, p_same jsonb DEFAULT '{}'::jsonb) RETURNS uuid
    LANGUAGE plpgsql
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.raise_alert(p_tenant_id uuid, p_type text, p_severity text, p_message text, p_metadata jsonb, p_quiet interval, p_same jsonb) OWNER TO reactor_owner;

CREATE FUNCTION reactor.read_event(p_id bigint) RETURNS jsonb
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO ''
    BEGIN ATOMIC … END;

ALTER FUNCTION reactor.read_event(p_id bigint) OWNER TO reactor_owner;

CREATE FUNCTION reactor.read_within(p_tenant uuid, p_run uuid, p_ids bigint[], p_bytes bigint) RETURNS TABLE(tenant_id uuid, run_id uuid, id bigint, event_id uuid, event_type text, subject_id uuid, payload text, priority integer, attempts integer, interruptions integer, created_at timestamp with time zone, traceparent text, cause_id bigint, depth integer)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.read_within(p_tenant uuid, p_run uuid, p_ids bigint[], p_bytes bigint) OWNER TO reactor_owner;

CREATE FUNCTION reactor.record_email_failure(p_tenant_id uuid, p_error_type text, p_message text, p_provider text, p_at_once boolean DEFAULT false) RETURNS uuid
    LANGUAGE plpgsql
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.record_email_failure(p_tenant_id uuid, p_error_type text, p_message text, p_provider text, p_at_once boolean) OWNER TO reactor_owner;

CREATE FUNCTION reactor.record_findings(p_findings jsonb) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    AS '…';

ALTER FUNCTION reactor.record_findings(p_findings jsonb) OWNER TO reactor_owner;

CREATE FUNCTION reactor.record_reflections(p_hour timestamp with time zone, p_reflections jsonb) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.record_reflections(p_hour timestamp with time zone, p_reflections jsonb) OWNER TO reactor_owner;

CREATE FUNCTION reactor.reevaluate_clocks(p_term bigint, p_limit integer DEFAULT 1000) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    AS '…';

ALTER FUNCTION reactor.reevaluate_clocks(p_term bigint, p_limit integer) OWNER TO reactor_owner;

CREATE FUNCTION reactor.renew_protection(p_table regclass) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.renew_protection(p_table regclass) OWNER TO reactor_owner;

CREATE FUNCTION reactor.renew_watch(p_function name) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.renew_watch(p_function name) OWNER TO reactor_owner;

CREATE FUNCTION reactor.replay(p_ids bigint[] DEFAULT NULL::bigint[], p_type text DEFAULT NULL::text, p_tenant uuid DEFAULT NULL::uuid, p_since interval DEFAULT NULL::interval, p_limit integer DEFAULT 1000) RETURNS TABLE(id bigint)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.replay(p_ids bigint[], p_type text, p_tenant uuid, p_since interval, p_limit integer) OWNER TO reactor_owner;

CREATE FUNCTION reactor.require_leader(p_term bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.require_leader(p_term bigint) OWNER TO reactor_owner;

CREATE FUNCTION reactor.rescue(p_tenants uuid[] DEFAULT NULL::uuid[], p_limit integer DEFAULT 1000) RETURNS TABLE(tenant_id uuid, run_id uuid, lock_holder text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET enable_sort TO 'on'
    AS '…';

ALTER FUNCTION reactor.rescue(p_tenants uuid[], p_limit integer) OWNER TO reactor_owner;

CREATE FUNCTION reactor.reserve_slots(p_tenant_id uuid, p_action_type text, p_count integer, p_per_hour integer, p_per_day integer, p_actions_per_hour integer) RETURNS TABLE(slot timestamp with time zone, granted integer, delay interval)
    LANGUAGE plpgsql
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.reserve_slots(p_tenant_id uuid, p_action_type text, p_count integer, p_per_hour integer, p_per_day integer, p_actions_per_hour integer) OWNER TO reactor_owner;

CREATE FUNCTION reactor.resign(p_term bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET lock_timeout TO '3s'
    AS '…';

ALTER FUNCTION reactor.resign(p_term bigint) OWNER TO reactor_owner;

CREATE FUNCTION reactor.retire(p_replica text, p_process text DEFAULT NULL::text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.retire(p_replica text, p_process text) OWNER TO reactor_owner;

CREATE FUNCTION reactor.ring() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.ring() OWNER TO reactor_owner;

CREATE FUNCTION reactor.ring_timer(p_due timestamp with time zone) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.ring_timer(p_due timestamp with time zone) OWNER TO reactor_owner;

CREATE FUNCTION reactor.rotate(p_term bigint, p_dead integer, p_live integer, p_wait interval DEFAULT '00:00:00.05'::interval, OUT outcome text, OUT live bigint, OUT dead bigint) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET enable_indexscan TO 'off'
    SET enable_indexonlyscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS '…';

ALTER FUNCTION reactor.rotate(p_term bigint, p_dead integer, p_live integer, p_wait interval, OUT outcome text, OUT live bigint, OUT dead bigint) OWNER TO reactor_owner;

CREATE FUNCTION reactor.rotate_leases(p_live integer) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_indexscan TO 'on'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS '…';

ALTER FUNCTION reactor.rotate_leases(p_live integer) OWNER TO reactor_owner;

CREATE FUNCTION reactor.rule_facts(p_at timestamp with time zone DEFAULT NULL::timestamp with time zone) RETURNS TABLE(tenant_id uuid, runs integer, runs_failed integer, mean_run_seconds double precision, planned integer, blocked integer, violations integer, clocks integer, clocks_overdue integer, emails integer, emails_mean double precision, hours_of_data integer)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO ''
    BEGIN ATOMIC … END;

ALTER FUNCTION reactor.rule_facts(p_at timestamp with time zone) OWNER TO reactor_owner;

CREATE FUNCTION reactor.score_clocks(p_tenant_id uuid) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.score_clocks(p_tenant_id uuid) OWNER TO reactor_owner;

CREATE FUNCTION reactor.set_aside(p_kind text, p_due timestamp with time zone, p_id uuid, p_more boolean, p_pause interval DEFAULT '00:01:00'::interval) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO ''
    BEGIN ATOMIC … END;

ALTER FUNCTION reactor.set_aside(p_kind text, p_due timestamp with time zone, p_id uuid, p_more boolean, p_pause interval) OWNER TO reactor_owner;

CREATE FUNCTION reactor.set_kill_switch(p_on boolean, p_reason text DEFAULT NULL::text) RETURNS TABLE(was_on boolean, is_on boolean, reason text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.set_kill_switch(p_on boolean, p_reason text) OWNER TO reactor_owner;

CREATE FUNCTION reactor.set_tenant_enabled(p_tenants uuid[], p_enabled boolean) RETURNS TABLE(tenant_id uuid, name text, is_active boolean, was_enabled boolean, is_enabled boolean)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.set_tenant_enabled(p_tenants uuid[], p_enabled boolean) OWNER TO reactor_owner;

CREATE FUNCTION reactor.settle(p_tenants uuid[], p_runs uuid[], p_more boolean[], p_done bigint[], p_verdicts jsonb, p_counts jsonb, p_batch integer, p_lease interval, p_gated text[], p_scope uuid DEFAULT NULL::uuid, p_ahead bigint[] DEFAULT '{}'::bigint[]) RETURNS TABLE(tenant_id uuid, run_id uuid, id bigint, event_id uuid, event_type text, subject_id uuid, payload text, priority integer, attempts integer, interruptions integer, created_at timestamp with time zone, traceparent text, cause_id bigint, depth integer)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET enable_sort TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET jit TO 'off'
    AS '…';

ALTER FUNCTION reactor.settle(p_tenants uuid[], p_runs uuid[], p_more boolean[], p_done bigint[], p_verdicts jsonb, p_counts jsonb, p_batch integer, p_lease interval, p_gated text[], p_scope uuid, p_ahead bigint[]) OWNER TO reactor_owner;

CREATE FUNCTION reactor.settle_email(p_intent uuid, p_status text, p_provider_message_id text DEFAULT NULL::text, p_error text DEFAULT NULL::text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.settle_email(p_intent uuid, p_status text, p_provider_message_id text, p_error text) OWNER TO reactor_owner;

CREATE FUNCTION reactor.shown_time(p_at timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN …;

ALTER FUNCTION reactor.shown_time(p_at timestamp with time zone) OWNER TO reactor_owner;

CREATE FUNCTION reactor.skipped(p_table regclass, p_operation text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO ''
    BEGIN ATOMIC … END;

ALTER FUNCTION reactor.skipped(p_table regclass, p_operation text) OWNER TO reactor_owner;

CREATE FUNCTION reactor.start_job(p_term bigint, p_name text, p_every interval, p_catch_up boolean, p_replica text) RETURNS timestamp with time zone
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.start_job(p_term bigint, p_name text, p_every interval, p_catch_up boolean, p_replica text) OWNER TO reactor_owner;

CREATE FUNCTION reactor.status() RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.status() OWNER TO reactor_owner;

CREATE FUNCTION reactor.still_bell() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.still_bell() OWNER TO reactor_owner;

CREATE FUNCTION reactor.suspend(p_tenants uuid[], p_runs uuid[], p_reason text) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET lock_timeout TO '5s'
    AS '…';

ALTER FUNCTION reactor.suspend(p_tenants uuid[], p_runs uuid[], p_reason text) OWNER TO reactor_owner;

CREATE FUNCTION reactor.sweep(p_term bigint, p_limit integer DEFAULT 1000) RETURNS TABLE(clocks integer, events integer, leases integer)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET lock_timeout TO '3s'
    AS '…';

ALTER FUNCTION reactor.sweep(p_term bigint, p_limit integer) OWNER TO reactor_owner;

CREATE FUNCTION reactor.take_ownership(p_table regclass) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.take_ownership(p_table regclass) OWNER TO reactor_owner;

CREATE TABLE reactor.email_intents (
    id uuid DEFAULT reactor.uuid7() NOT NULL,
    tenant_id uuid NOT NULL,
    clock_id uuid,
    client_id uuid,
    contact_id uuid,
    status text DEFAULT 'queued'::text NOT NULL,
    sender text NOT NULL,
    sender_name text DEFAULT ''::text NOT NULL,
    recipient text NOT NULL,
    recipient_name text DEFAULT ''::text NOT NULL,
    subject text NOT NULL,
    body_text text NOT NULL,
    body_html text,
    reply_to text,
    unsubscribe text,
    tone text,
    days_overdue integer,
    slot timestamp with time zone,
    tries integer DEFAULT 0 NOT NULL,
    provider text,
    provider_message_id text,
    error text,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    sending_at timestamp with time zone,
    settled_at timestamp with time zone,
    CONSTRAINT email_intents_status_check CHECK ((status = ANY (ARRAY['queued'::text, 'sending'::text, 'sent'::text, 'failed'::text, 'unknown'::text, 'blocked'::text, 'cancelled'::text, 'dry_run'::text])))
);

ALTER TABLE reactor.email_intents OWNER TO reactor_owner;

CREATE FUNCTION reactor.tenant_backlog(p_tenants uuid[]) RETURNS TABLE(tenant_id uuid, orders_pending integer, exceptions_unresolved integer, clocks_overdue integer, emails_waiting integer, emails_unknown integer, alerts_unacknowledged integer, alerts_critical integer, dead_events integer)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO ''
    BEGIN ATOMIC … END;

ALTER FUNCTION reactor.tenant_backlog(p_tenants uuid[]) OWNER TO reactor_owner;

CREATE FUNCTION reactor.tenant_policies(p_tenant_column name) RETURNS TABLE(policy name, permissive boolean, rule text)
    LANGUAGE sql IMMUTABLE
    SET search_path TO ''
    BEGIN ATOMIC … END;

ALTER FUNCTION reactor.tenant_policies(p_tenant_column name) OWNER TO reactor_owner;

CREATE FUNCTION reactor.tend_canary(p_every interval) RETURNS TABLE(age interval, silence interval)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.tend_canary(p_every interval) OWNER TO reactor_owner;

CREATE FUNCTION reactor.trace_event(p_id bigint, p_limit integer DEFAULT 200) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.trace_event(p_id bigint, p_limit integer) OWNER TO reactor_owner;

CREATE FUNCTION reactor.unpark(p_limit integer DEFAULT 5000) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    AS '…';

ALTER FUNCTION reactor.unpark(p_limit integer) OWNER TO reactor_owner;

CREATE FUNCTION reactor.unwatch("table" regclass, event_type text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.unwatch("table" regclass, event_type text) OWNER TO reactor_owner;

CREATE FUNCTION reactor.uuid7_floor(p_at timestamp with time zone) RETURNS uuid
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    BEGIN ATOMIC … END;

ALTER FUNCTION reactor.uuid7_floor(p_at timestamp with time zone) OWNER TO reactor_owner;

CREATE FUNCTION reactor.uuid7_time(p_id uuid) RETURNS timestamp with time zone
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    BEGIN ATOMIC … END;

ALTER FUNCTION reactor.uuid7_time(p_id uuid) OWNER TO reactor_owner;

CREATE FUNCTION reactor.walk_outbox(OUT live bigint, OUT weight bigint, OUT dead bigint) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET enable_indexscan TO 'on'
    SET enable_indexonlyscan TO 'on'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    SET max_parallel_workers_per_gather TO '0'
    SET jit TO 'off'
    AS '…';

ALTER FUNCTION reactor.walk_outbox(OUT live bigint, OUT weight bigint, OUT dead bigint) OWNER TO reactor_owner;

CREATE FUNCTION reactor.watch("table" regclass, event_type text, operations text[] DEFAULT '{insert}'::text[], tenant_column name DEFAULT 'tenant_id'::name, subject_column name DEFAULT 'id'::name, payload_columns name[] DEFAULT NULL::name[], condition text DEFAULT NULL::text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.watch("table" regclass, event_type text, operations text[], tenant_column name, subject_column name, payload_columns name[], condition text) OWNER TO reactor_owner;

CREATE FUNCTION reactor.watch_5624d85a40bc() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.watch_5624d85a40bc() OWNER TO reactor_owner;

CREATE FUNCTION reactor.watch_80f04d8375b4() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.watch_80f04d8375b4() OWNER TO reactor_owner;

CREATE FUNCTION reactor.watch_c43ba20e5d99() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.watch_c43ba20e5d99() OWNER TO reactor_owner;

CREATE FUNCTION reactor.watch_text("table" regclass, event_type text, operations text[], tenant_column name, subject_column name, payload_columns name[], condition text, OUT function_text text, OUT payload name[]) RETURNS record
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS '…';

ALTER FUNCTION reactor.watch_text("table" regclass, event_type text, operations text[], tenant_column name, subject_column name, payload_columns name[], condition text, OUT function_text text, OUT payload name[]) OWNER TO reactor_owner;

CREATE VIEW public.agent_health_dashboard WITH (security_invoker='true') AS
 SELECT t.id AS tenant_id,
    t.name AS tenant_name,
    r.running_runs,
    r.failed_runs,
    r.avg_duration_ms,
    r.completed_runs,
    ( SELECT count(*) AS count
           FROM public.order_processing_queue q
          WHERE ((q.tenant_id = t.id) AND (q.status = 'pending'::text))) AS pending_orders,
    ( SELECT count(*) AS count
           FROM public.order_processing_exceptions x
          WHERE ((x.tenant_id = t.id) AND (x.resolved = false))) AS unresolved_exceptions,
    ( SELECT count(*) AS count
           FROM public.engagement_clocks c
          WHERE ((c.tenant_id = t.id) AND (c.next_touch_due <= ( SELECT reactor.now() AS now)))) AS overdue_clocks,
    ( SELECT count(*) AS count
           FROM public.agent_alerts a
          WHERE ((a.tenant_id = t.id) AND (a.acknowledged = false))) AS unacknowledged_alerts,
    COALESCE(e.waiting, (0)::bigint) AS pending_events,
    COALESCE(d.dead, (0)::bigint) AS dead_events
   FROM (((public.tenants t
     LEFT JOIN ( SELECT w.tenant_id,
            count(*) AS waiting
           FROM reactor.events w
          GROUP BY w.tenant_id) e ON ((e.tenant_id = t.id)))
     LEFT JOIN ( SELECT w.tenant_id,
            count(*) AS dead
           FROM reactor.dead_events w
          GROUP BY w.tenant_id) d ON ((d.tenant_id = t.id)))
     CROSS JOIN LATERAL ( SELECT count(*) FILTER (WHERE (s.status = 'running'::text)) AS running_runs,
            count(*) FILTER (WHERE (s.status = 'failed'::text)) AS failed_runs,
            round(avg(s.duration_ms), 1) AS avg_duration_ms,
            count(*) FILTER (WHERE (s.status = 'completed'::text)) AS completed_runs
           FROM public.agent_autonomous_runs s
          WHERE ((s.tenant_id = t.id) AND (s.started_at > (( SELECT reactor.now() AS now) - '24:00:00'::interval)))) r);

ALTER VIEW public.agent_health_dashboard OWNER TO postgres;

CREATE TABLE public.agent_hourly_reflections (
    id uuid DEFAULT reactor.uuid7() NOT NULL,
    tenant_id uuid NOT NULL,
    run_id uuid,
    summary jsonb,
    changes jsonb,
    metrics_delta jsonb,
    blockers jsonb,
    insights jsonb,
    next_hour_priorities jsonb,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE public.agent_hourly_reflections OWNER TO postgres;

CREATE TABLE public.agent_rate_limits (
    id uuid DEFAULT reactor.uuid7() NOT NULL,
    tenant_id uuid NOT NULL,
    action_type text NOT NULL,
    window_start timestamp with time zone NOT NULL,
    window_end timestamp with time zone,
    action_count integer DEFAULT 0 NOT NULL
)
WITH (fillfactor='70', autovacuum_vacuum_scale_factor='0.05');

ALTER TABLE public.agent_rate_limits OWNER TO postgres;

CREATE TABLE public.clients (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    tenant_id uuid NOT NULL,
    company_name text NOT NULL,
    is_active boolean DEFAULT true NOT NULL,
    credit_limit numeric(14,2) DEFAULT 0 NOT NULL,
    balance numeric(14,2) DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE public.clients OWNER TO postgres;

CREATE TABLE public.contacts (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    tenant_id uuid NOT NULL,
    client_id uuid,
    first_name text,
    last_name text,
    email text,
    title text,
    is_primary boolean DEFAULT false NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE public.contacts OWNER TO postgres;

CREATE TABLE public.email_suppressions (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    tenant_id uuid NOT NULL,
    contact_id uuid,
    email text,
    reason text NOT NULL,
    bounce_type text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT email_suppressions_reason_check CHECK ((reason = ANY (ARRAY['unsubscribe'::text, 'bounce'::text, 'complaint'::text, 'manual'::text])))
);

ALTER TABLE public.email_suppressions OWNER TO postgres;

CREATE TABLE public.kanban_cards (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    tenant_id uuid NOT NULL,
    client_id uuid,
    contact_id uuid,
    type text NOT NULL,
    title text NOT NULL,
    description text,
    rationale text,
    priority text DEFAULT 'medium'::text NOT NULL,
    state text DEFAULT 'suggested'::text NOT NULL,
    action_payload jsonb DEFAULT '{}'::jsonb NOT NULL,
    due_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT kanban_cards_priority_check CHECK ((priority = ANY (ARRAY['low'::text, 'medium'::text, 'high'::text]))),
    CONSTRAINT kanban_cards_state_check CHECK ((state = ANY (ARRAY['suggested'::text, 'in_review'::text, 'approved'::text, 'executing'::text, 'done'::text, 'blocked'::text, 'rejected'::text])))
);

ALTER TABLE public.kanban_cards OWNER TO postgres;

CREATE TABLE public.orders (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    tenant_id uuid NOT NULL,
    client_id uuid,
    product_id uuid,
    status text DEFAULT 'new'::text NOT NULL,
    fee_amount numeric(14,2),
    total_amount numeric(14,2),
    tech_fee numeric(14,2),
    payment_method text,
    property_address text,
    property_city text,
    property_state text,
    property_zip text,
    borrower_name text,
    borrower_email text,
    borrower_phone text,
    property_contact_name text,
    property_contact_phone text,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE public.orders OWNER TO postgres;

CREATE TABLE public.products (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    tenant_id uuid NOT NULL,
    name text NOT NULL,
    price numeric(14,2),
    min_price numeric(14,2),
    max_price numeric(14,2),
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE public.products OWNER TO postgres;

CREATE TABLE reactor.adoption_archive (
    id bigint NOT NULL,
    table_name text NOT NULL,
    tenant_id uuid,
    reason text NOT NULL,
    content jsonb NOT NULL,
    archived_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE reactor.adoption_archive OWNER TO reactor_owner;

ALTER TABLE reactor.adoption_archive ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME reactor.adoption_archive_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE reactor.alert_channels_off (
    tenant_id uuid NOT NULL,
    channel text NOT NULL,
    reason text NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

ALTER TABLE reactor.alert_channels_off OWNER TO reactor_owner;

CREATE TABLE reactor.alert_deliveries (
    id uuid DEFAULT reactor.uuid7() NOT NULL,
    tenant_id uuid NOT NULL,
    alert_id uuid NOT NULL,
    alert_type text NOT NULL,
    step integer DEFAULT 0 NOT NULL,
    channel text DEFAULT ''::text NOT NULL,
    status text NOT NULL,
    tries integer DEFAULT 0 NOT NULL,
    http_status integer,
    error text,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    settled_at timestamp with time zone,
    CONSTRAINT alert_deliveries_status_check CHECK ((status = ANY (ARRAY['planned'::text, 'delivered'::text, 'failed'::text, 'quiet'::text, 'mild'::text, 'no_channel'::text, 'off'::text])))
);

ALTER TABLE reactor.alert_deliveries OWNER TO reactor_owner;

CREATE TABLE reactor.canary (
    only_row boolean DEFAULT true NOT NULL,
    event_id bigint,
    tenant_id uuid,
    sent_at timestamp with time zone,
    unheard_since timestamp with time zone,
    heard_at timestamp with time zone,
    took interval,
    CONSTRAINT canary_only_row_check CHECK (only_row)
)
WITH (fillfactor='50', autovacuum_vacuum_threshold='50', autovacuum_vacuum_cost_delay='0');

ALTER TABLE reactor.canary OWNER TO reactor_owner;

CREATE UNLOGGED SEQUENCE reactor.doorbell
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE reactor.doorbell OWNER TO reactor_owner;

ALTER TABLE reactor.events ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME reactor.events_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE reactor.in_flight (
    tenant_id uuid NOT NULL,
    run_id uuid NOT NULL,
    ids bigint[] NOT NULL,
    noted_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
)
WITH (fillfactor='50', autovacuum_vacuum_threshold='1000', autovacuum_vacuum_scale_factor='0.1', autovacuum_vacuum_cost_delay='0', toast_tuple_target='8160');

ALTER TABLE reactor.in_flight OWNER TO reactor_owner;

CREATE TABLE reactor.leadership (
    only_row boolean DEFAULT true NOT NULL,
    term bigint DEFAULT 0 NOT NULL,
    leader text,
    expires_at timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    CONSTRAINT leadership_only_row_check CHECK (only_row)
)
WITH (fillfactor='50', autovacuum_vacuum_threshold='50', autovacuum_vacuum_cost_delay='0');

ALTER TABLE reactor.leadership OWNER TO reactor_owner;

CREATE TABLE reactor.migrations (
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    applied_by text DEFAULT SESSION_USER NOT NULL,
    duration_ms integer NOT NULL
);

ALTER TABLE reactor.migrations OWNER TO reactor_owner;

CREATE TABLE reactor.rotation (
    only_row boolean DEFAULT true NOT NULL,
    rotations bigint DEFAULT 0 NOT NULL,
    kept bigint DEFAULT 0 NOT NULL,
    rotated_at timestamp with time zone,
    CONSTRAINT rotation_only_row_check CHECK (only_row)
);

ALTER TABLE reactor.rotation OWNER TO reactor_owner;

CREATE UNLOGGED SEQUENCE reactor.timer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE reactor.timer OWNER TO reactor_owner;

ALTER TABLE ONLY public.agent_alerts
    ADD CONSTRAINT agent_alerts_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.agent_autonomous_runs
    ADD CONSTRAINT agent_autonomous_runs_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.agent_hourly_reflections
    ADD CONSTRAINT agent_hourly_reflections_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.agent_policy_violations
    ADD CONSTRAINT agent_policy_violations_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.agent_rate_limits
    ADD CONSTRAINT agent_rate_limits_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.agent_rate_limits
    ADD CONSTRAINT agent_rate_limits_tenant_id_action_type_window_start_key UNIQUE (tenant_id, action_type, window_start);

ALTER TABLE ONLY public.agent_tenant_locks
    ADD CONSTRAINT agent_tenant_locks_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.agent_tenant_locks
    ADD CONSTRAINT agent_tenant_locks_tenant_id_key UNIQUE (tenant_id);

ALTER TABLE ONLY public.clients
    ADD CONSTRAINT clients_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.contacts
    ADD CONSTRAINT contacts_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.email_provider_failures
    ADD CONSTRAINT email_provider_failures_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.email_suppressions
    ADD CONSTRAINT email_suppressions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.engagement_clocks
    ADD CONSTRAINT engagement_clocks_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.kanban_cards
    ADD CONSTRAINT kanban_cards_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.order_processing_exceptions
    ADD CONSTRAINT order_processing_exceptions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.order_processing_queue
    ADD CONSTRAINT order_processing_queue_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.order_processing_queue
    ADD CONSTRAINT order_processing_queue_tenant_id_order_id_key UNIQUE (tenant_id, order_id);

ALTER TABLE ONLY public.orders
    ADD CONSTRAINT orders_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.products
    ADD CONSTRAINT products_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.profiles
    ADD CONSTRAINT profiles_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.system_config
    ADD CONSTRAINT system_config_pkey PRIMARY KEY (key);

ALTER TABLE ONLY public.tenants
    ADD CONSTRAINT tenants_pkey PRIMARY KEY (id);

ALTER TABLE ONLY reactor.adoption_archive
    ADD CONSTRAINT adoption_archive_pkey PRIMARY KEY (id);

ALTER TABLE ONLY reactor.alert_channels_off
    ADD CONSTRAINT alert_channels_off_pkey PRIMARY KEY (tenant_id, channel);

ALTER TABLE ONLY reactor.alert_deliveries
    ADD CONSTRAINT alert_deliveries_alert_id_step_channel_key UNIQUE (alert_id, step, channel);

ALTER TABLE ONLY reactor.alert_deliveries
    ADD CONSTRAINT alert_deliveries_pkey PRIMARY KEY (id);

ALTER TABLE ONLY reactor.canary
    ADD CONSTRAINT canary_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY reactor.dead_events
    ADD CONSTRAINT dead_events_pkey PRIMARY KEY (id);

ALTER TABLE ONLY reactor.email_intents
    ADD CONSTRAINT email_intents_pkey PRIMARY KEY (id);

ALTER TABLE ONLY reactor.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (id);

ALTER TABLE ONLY reactor.in_flight
    ADD CONSTRAINT in_flight_pkey PRIMARY KEY (tenant_id);

ALTER TABLE ONLY reactor.leadership
    ADD CONSTRAINT leadership_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY reactor.migrations
    ADD CONSTRAINT migrations_pkey PRIMARY KEY (name);

ALTER TABLE ONLY reactor.reflected_hours
    ADD CONSTRAINT reflected_hours_pkey PRIMARY KEY (hour);

ALTER TABLE ONLY reactor.replicas
    ADD CONSTRAINT replicas_pkey PRIMARY KEY (replica);

ALTER TABLE ONLY reactor.rotation
    ADD CONSTRAINT rotation_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY reactor.schedules
    ADD CONSTRAINT schedules_pkey PRIMARY KEY (name);

ALTER TABLE ONLY reactor.set_aside
    ADD CONSTRAINT set_aside_pkey PRIMARY KEY (kind);

ALTER TABLE ONLY reactor.watches
    ADD CONSTRAINT watches_pkey PRIMARY KEY (table_schema, table_name, event_type);

CREATE INDEX agent_autonomous_runs_emails ON ONLY public.agent_autonomous_runs USING btree (completed_at) WHERE (emails_sent > 0);

CREATE INDEX agent_autonomous_runs_started_brin ON ONLY public.agent_autonomous_runs USING brin (started_at) WITH (pages_per_range='16');

CREATE INDEX clients_tenant_id_idx ON public.clients USING btree (tenant_id);

CREATE INDEX contacts_client_id_idx ON public.contacts USING btree (client_id);

CREATE INDEX contacts_tenant_id_idx ON public.contacts USING btree (tenant_id);

CREATE INDEX email_suppressions_contact_id_idx ON public.email_suppressions USING btree (contact_id);

CREATE INDEX email_suppressions_tenant_id_idx ON public.email_suppressions USING btree (tenant_id);

CREATE INDEX idx_agent_alerts_acknowledged_by ON public.agent_alerts USING btree (acknowledged_by) WHERE (acknowledged_by IS NOT NULL);

CREATE INDEX idx_agent_alerts_age ON public.agent_alerts USING btree (created_at) WHERE acknowledged;

CREATE INDEX idx_agent_alerts_type ON public.agent_alerts USING btree (tenant_id, alert_type, created_at DESC);

CREATE INDEX idx_agent_alerts_unacked ON public.agent_alerts USING btree (tenant_id, created_at DESC) WHERE (acknowledged = false);

CREATE INDEX idx_autonomous_runs_cycles ON ONLY public.agent_autonomous_runs USING btree (tenant_id, cycle_number) WHERE (trigger <> 'event'::text);

CREATE INDEX idx_autonomous_runs_running ON ONLY public.agent_autonomous_runs USING btree (tenant_id, started_at) WHERE (status = 'running'::text);

CREATE INDEX idx_autonomous_runs_tenant_started ON ONLY public.agent_autonomous_runs USING btree (tenant_id, started_at DESC);

CREATE INDEX idx_autonomous_runs_tenant_status ON ONLY public.agent_autonomous_runs USING btree (tenant_id, status);

CREATE INDEX idx_email_failures_recent ON ONLY public.email_provider_failures USING btree (tenant_id, created_at DESC);

CREATE INDEX idx_engagement_clocks_by_client ON public.engagement_clocks USING btree (client_id) WHERE (client_id IS NOT NULL);

CREATE INDEX idx_engagement_clocks_by_contact ON public.engagement_clocks USING btree (contact_id) WHERE (contact_id IS NOT NULL);

CREATE UNIQUE INDEX idx_engagement_clocks_client ON public.engagement_clocks USING btree (tenant_id, client_id) WHERE (client_id IS NOT NULL);

CREATE UNIQUE INDEX idx_engagement_clocks_contact ON public.engagement_clocks USING btree (tenant_id, contact_id) WHERE (contact_id IS NOT NULL);

CREATE INDEX idx_engagement_clocks_due ON public.engagement_clocks USING btree (next_touch_due) WHERE is_compliant;

CREATE INDEX idx_engagement_clocks_evaluated ON public.engagement_clocks USING btree (evaluated_at) WHERE (NOT is_compliant);

CREATE INDEX idx_engagement_clocks_priority ON public.engagement_clocks USING btree (tenant_id, is_compliant, priority_score DESC);

CREATE INDEX idx_engagement_clocks_tenant_due ON public.engagement_clocks USING btree (tenant_id, next_touch_due);

CREATE INDEX idx_engagement_clocks_tenant_overdue ON public.engagement_clocks USING btree (tenant_id, is_compliant, days_overdue DESC);

CREATE INDEX idx_engagement_clocks_touched_by ON public.engagement_clocks USING btree (last_touch_by) WHERE (last_touch_by IS NOT NULL);

CREATE INDEX idx_hourly_reflections_age ON public.agent_hourly_reflections USING brin (created_at) WITH (autosummarize='on');

CREATE INDEX idx_hourly_reflections_run ON public.agent_hourly_reflections USING btree (run_id) WHERE (run_id IS NOT NULL);

CREATE INDEX idx_hourly_reflections_tenant ON public.agent_hourly_reflections USING btree (tenant_id, created_at DESC);

CREATE INDEX idx_order_exceptions_order ON public.order_processing_exceptions USING btree (order_id);

CREATE INDEX idx_order_exceptions_queue ON public.order_processing_exceptions USING btree (queue_id);

CREATE INDEX idx_order_exceptions_resolved_by ON public.order_processing_exceptions USING btree (resolved_by) WHERE (resolved_by IS NOT NULL);

CREATE INDEX idx_order_exceptions_tenant ON public.order_processing_exceptions USING btree (tenant_id, created_at DESC);

CREATE INDEX idx_order_exceptions_unresolved ON public.order_processing_exceptions USING btree (tenant_id, created_at DESC) WHERE (resolved = false);

CREATE INDEX idx_order_processing_order ON public.order_processing_queue USING btree (order_id);

CREATE INDEX idx_order_processing_pending ON public.order_processing_queue USING btree (tenant_id, queued_at) WHERE (status = 'pending'::text);

CREATE INDEX idx_policy_violations_age ON public.agent_policy_violations USING brin (created_at) WITH (autosummarize='on');

CREATE INDEX idx_policy_violations_run ON public.agent_policy_violations USING btree (run_id) WHERE (run_id IS NOT NULL);

CREATE INDEX idx_policy_violations_tenant ON public.agent_policy_violations USING btree (tenant_id, created_at DESC);

CREATE INDEX idx_policy_violations_type ON public.agent_policy_violations USING btree (tenant_id, violation_type, created_at DESC);

CREATE INDEX idx_rate_limits_cleanup ON public.agent_rate_limits USING btree (window_start);

CREATE INDEX idx_rate_limits_tenant_type ON public.agent_rate_limits USING btree (tenant_id, action_type, window_start DESC);

CREATE INDEX idx_tenant_locks_expires ON public.agent_tenant_locks USING btree (expires_at);

CREATE INDEX idx_tenant_locks_run ON public.agent_tenant_locks USING btree (run_id);

CREATE INDEX kanban_cards_client_id_idx ON public.kanban_cards USING btree (client_id);

CREATE INDEX kanban_cards_contact_id_idx ON public.kanban_cards USING btree (contact_id);

CREATE INDEX kanban_cards_tenant_id_idx ON public.kanban_cards USING btree (tenant_id);

CREATE INDEX orders_client_id_idx ON public.orders USING btree (client_id);

CREATE INDEX orders_product_id_idx ON public.orders USING btree (product_id);

CREATE INDEX orders_tenant_id_idx ON public.orders USING btree (tenant_id);

CREATE INDEX products_tenant_id_idx ON public.products USING btree (tenant_id);

CREATE INDEX profiles_tenant_id_idx ON public.profiles USING btree (tenant_id);

CREATE INDEX adoption_archive_tenant_id_idx ON reactor.adoption_archive USING btree (tenant_id);

CREATE INDEX alert_deliveries_created ON reactor.alert_deliveries USING btree (created_at);

CREATE INDEX alert_deliveries_dedup ON reactor.alert_deliveries USING btree (tenant_id, alert_type, created_at DESC);

CREATE INDEX alert_deliveries_unheard ON reactor.alert_deliveries USING btree (tenant_id) WHERE ((status = 'no_channel'::text) AND (step = 0));

CREATE INDEX dead_events_cause ON reactor.dead_events USING btree (cause_id) WHERE (cause_id IS NOT NULL);

CREATE INDEX dead_events_died ON reactor.dead_events USING btree (died_at DESC, id DESC);

CREATE INDEX dead_events_tenant ON reactor.dead_events USING btree (tenant_id, died_at DESC);

CREATE INDEX dead_events_type ON reactor.dead_events USING btree (event_type, died_at DESC);

CREATE INDEX email_intents_contact ON reactor.email_intents USING btree (tenant_id, contact_id, settled_at) WHERE (status = 'sent'::text);

CREATE UNIQUE INDEX email_intents_open ON reactor.email_intents USING btree (tenant_id, contact_id) WHERE ((status = ANY (ARRAY['queued'::text, 'sending'::text])) AND (contact_id IS NOT NULL));

CREATE INDEX email_intents_sent ON reactor.email_intents USING btree (tenant_id, settled_at) WHERE (status = 'sent'::text);

CREATE INDEX email_intents_settled ON reactor.email_intents USING btree (settled_at) WHERE (settled_at IS NOT NULL);

CREATE INDEX email_intents_tenant ON reactor.email_intents USING btree (tenant_id, created_at DESC);

CREATE INDEX events_aside ON reactor.events USING btree (available_at, tenant_id) WHERE ((available_at IS NOT NULL) OR (interruptions > 0));

CREATE UNIQUE INDEX events_dedup ON reactor.events USING btree (tenant_id, dedup_key) WHERE (dedup_key IS NOT NULL);

CREATE INDEX events_ready ON reactor.events USING btree (tenant_id, priority, id) WHERE (available_at IS NULL);

CREATE INDEX history_cause ON ONLY reactor.history USING btree (cause_id) WHERE (cause_id IS NOT NULL);

CREATE INDEX history_id ON ONLY reactor.history USING btree (id);

CREATE TRIGGER judge_engagement_clock BEFORE UPDATE OF next_touch_due ON public.engagement_clocks FOR EACH ROW WHEN (((new.next_touch_due IS DISTINCT FROM old.next_touch_due) AND (new.evaluated_at = old.evaluated_at))) EXECUTE FUNCTION reactor.judge_engagement_clock();

CREATE TRIGGER reactor_5624d85a40bc_insert AFTER INSERT ON public.engagement_clocks REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION reactor.watch_5624d85a40bc();

CREATE TRIGGER reactor_5624d85a40bc_update AFTER UPDATE ON public.engagement_clocks REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION reactor.watch_5624d85a40bc();

CREATE TRIGGER reactor_80f04d8375b4_insert AFTER INSERT ON public.order_processing_queue REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION reactor.watch_80f04d8375b4();

CREATE TRIGGER reactor_80f04d8375b4_update AFTER UPDATE ON public.order_processing_queue REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION reactor.watch_80f04d8375b4();

CREATE TRIGGER reactor_announce_insert AFTER INSERT ON public.engagement_clocks REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION reactor.announce_clock();

CREATE TRIGGER reactor_announce_update AFTER UPDATE ON public.engagement_clocks REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION reactor.announce_clock();

CREATE TRIGGER reactor_c43ba20e5d99_insert AFTER INSERT ON public.agent_alerts REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION reactor.watch_c43ba20e5d99();

CREATE TRIGGER reactor_channels AFTER UPDATE ON public.tenants FOR EACH ROW EXECUTE FUNCTION reactor.announce_channels();

CREATE TRIGGER reactor_delete BEFORE DELETE ON public.tenants FOR EACH ROW EXECUTE FUNCTION reactor.await_settlement();

CREATE TRIGGER reactor_gate AFTER INSERT OR UPDATE ON public.system_config FOR EACH ROW EXECUTE FUNCTION reactor.announce_gate();

CREATE TRIGGER reactor_gate AFTER UPDATE ON public.tenants FOR EACH ROW WHEN (((old.is_active IS DISTINCT FROM new.is_active) OR (old.agent_enabled IS DISTINCT FROM new.agent_enabled))) EXECUTE FUNCTION reactor.announce_gate();

ALTER TABLE ONLY public.agent_alerts
    ADD CONSTRAINT agent_alerts_acknowledged_by_fkey FOREIGN KEY (acknowledged_by) REFERENCES public.profiles(id) ON DELETE SET NULL;

ALTER TABLE ONLY public.agent_alerts
    ADD CONSTRAINT agent_alerts_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id) ON DELETE CASCADE;

ALTER TABLE public.agent_autonomous_runs
    ADD CONSTRAINT agent_autonomous_runs_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.agent_hourly_reflections
    ADD CONSTRAINT agent_hourly_reflections_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.agent_autonomous_runs(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.agent_hourly_reflections
    ADD CONSTRAINT agent_hourly_reflections_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.agent_policy_violations
    ADD CONSTRAINT agent_policy_violations_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.agent_autonomous_runs(id) ON DELETE SET NULL;

ALTER TABLE ONLY public.agent_policy_violations
    ADD CONSTRAINT agent_policy_violations_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.agent_rate_limits
    ADD CONSTRAINT agent_rate_limits_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.agent_tenant_locks
    ADD CONSTRAINT agent_tenant_locks_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.agent_autonomous_runs(id) ON DELETE SET NULL;

ALTER TABLE ONLY public.agent_tenant_locks
    ADD CONSTRAINT agent_tenant_locks_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.clients
    ADD CONSTRAINT clients_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.contacts
    ADD CONSTRAINT contacts_client_id_fkey FOREIGN KEY (client_id) REFERENCES public.clients(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.contacts
    ADD CONSTRAINT contacts_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id) ON DELETE CASCADE;

ALTER TABLE public.email_provider_failures
    ADD CONSTRAINT email_provider_failures_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.email_suppressions
    ADD CONSTRAINT email_suppressions_contact_id_fkey FOREIGN KEY (contact_id) REFERENCES public.contacts(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.email_suppressions
    ADD CONSTRAINT email_suppressions_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.engagement_clocks
    ADD CONSTRAINT engagement_clocks_client_id_fkey FOREIGN KEY (client_id) REFERENCES public.clients(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.engagement_clocks
    ADD CONSTRAINT engagement_clocks_contact_id_fkey FOREIGN KEY (contact_id) REFERENCES public.contacts(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.engagement_clocks
    ADD CONSTRAINT engagement_clocks_last_touch_by_fkey FOREIGN KEY (last_touch_by) REFERENCES public.profiles(id) ON DELETE SET NULL;

ALTER TABLE ONLY public.engagement_clocks
    ADD CONSTRAINT engagement_clocks_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.kanban_cards
    ADD CONSTRAINT kanban_cards_client_id_fkey FOREIGN KEY (client_id) REFERENCES public.clients(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.kanban_cards
    ADD CONSTRAINT kanban_cards_contact_id_fkey FOREIGN KEY (contact_id) REFERENCES public.contacts(id) ON DELETE SET NULL;

ALTER TABLE ONLY public.kanban_cards
    ADD CONSTRAINT kanban_cards_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.order_processing_exceptions
    ADD CONSTRAINT order_processing_exceptions_order_id_fkey FOREIGN KEY (order_id) REFERENCES public.orders(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.order_processing_exceptions
    ADD CONSTRAINT order_processing_exceptions_queue_id_fkey FOREIGN KEY (queue_id) REFERENCES public.order_processing_queue(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.order_processing_exceptions
    ADD CONSTRAINT order_processing_exceptions_resolved_by_fkey FOREIGN KEY (resolved_by) REFERENCES public.profiles(id) ON DELETE SET NULL;

ALTER TABLE ONLY public.order_processing_exceptions
    ADD CONSTRAINT order_processing_exceptions_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.order_processing_queue
    ADD CONSTRAINT order_processing_queue_order_id_fkey FOREIGN KEY (order_id) REFERENCES public.orders(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.order_processing_queue
    ADD CONSTRAINT order_processing_queue_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.orders
    ADD CONSTRAINT orders_client_id_fkey FOREIGN KEY (client_id) REFERENCES public.clients(id) ON DELETE SET NULL;

ALTER TABLE ONLY public.orders
    ADD CONSTRAINT orders_product_id_fkey FOREIGN KEY (product_id) REFERENCES public.products(id) ON DELETE SET NULL;

ALTER TABLE ONLY public.orders
    ADD CONSTRAINT orders_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.products
    ADD CONSTRAINT products_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.profiles
    ADD CONSTRAINT profiles_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id) ON DELETE CASCADE;

ALTER TABLE ONLY reactor.adoption_archive
    ADD CONSTRAINT adoption_archive_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id) ON DELETE CASCADE;

ALTER TABLE ONLY reactor.alert_channels_off
    ADD CONSTRAINT alert_channels_off_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id) ON DELETE CASCADE;

ALTER TABLE ONLY reactor.alert_deliveries
    ADD CONSTRAINT alert_deliveries_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id) ON DELETE CASCADE;

ALTER TABLE ONLY reactor.email_intents
    ADD CONSTRAINT email_intents_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id) ON DELETE CASCADE;

ALTER TABLE public.agent_alerts ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.agent_autonomous_runs ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.agent_hourly_reflections ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.agent_policy_violations ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.agent_rate_limits ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.agent_tenant_locks ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.clients ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.contacts ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.email_provider_failures ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.email_suppressions ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.engagement_clocks ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.kanban_cards ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.order_processing_exceptions ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.order_processing_queue ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.orders ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.products ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.profiles ENABLE ROW LEVEL SECURITY;

CREATE POLICY reactor_engine ON public.agent_alerts TO reactor, reactor_owner USING (true) WITH CHECK (true);

CREATE POLICY reactor_engine ON public.agent_autonomous_runs TO reactor, reactor_owner USING (true) WITH CHECK (true);

CREATE POLICY reactor_engine ON public.agent_hourly_reflections TO reactor, reactor_owner USING (true) WITH CHECK (true);

CREATE POLICY reactor_engine ON public.agent_policy_violations TO reactor, reactor_owner USING (true) WITH CHECK (true);

CREATE POLICY reactor_engine ON public.agent_rate_limits TO reactor, reactor_owner USING (true) WITH CHECK (true);

CREATE POLICY reactor_engine ON public.agent_tenant_locks TO reactor, reactor_owner USING (true) WITH CHECK (true);

CREATE POLICY reactor_engine ON public.email_provider_failures TO reactor, reactor_owner USING (true) WITH CHECK (true);

CREATE POLICY reactor_engine ON public.engagement_clocks TO reactor, reactor_owner USING (true) WITH CHECK (true);

CREATE POLICY reactor_engine ON public.order_processing_exceptions TO reactor, reactor_owner USING (true) WITH CHECK (true);

CREATE POLICY reactor_engine ON public.order_processing_queue TO reactor, reactor_owner USING (true) WITH CHECK (true);

CREATE POLICY reactor_engine ON public.profiles TO reactor_owner USING (true) WITH CHECK (true);

CREATE POLICY reactor_engine ON public.tenants TO reactor, reactor_owner USING (true) WITH CHECK (true);

CREATE POLICY reactor_tenant ON public.agent_alerts TO reactor_handler USING ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant)));

CREATE POLICY reactor_tenant ON public.agent_autonomous_runs TO reactor_handler USING ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant)));

CREATE POLICY reactor_tenant ON public.agent_hourly_reflections TO reactor_handler USING ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant)));

CREATE POLICY reactor_tenant ON public.agent_policy_violations TO reactor_handler USING ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant)));

CREATE POLICY reactor_tenant ON public.agent_rate_limits TO reactor_handler USING ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant)));

CREATE POLICY reactor_tenant ON public.agent_tenant_locks TO reactor_handler USING ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant)));

CREATE POLICY reactor_tenant ON public.clients TO reactor_handler USING ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant)));

CREATE POLICY reactor_tenant ON public.contacts TO reactor_handler USING ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant)));

CREATE POLICY reactor_tenant ON public.email_provider_failures TO reactor_handler USING ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant)));

CREATE POLICY reactor_tenant ON public.email_suppressions TO reactor_handler USING ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant)));

CREATE POLICY reactor_tenant ON public.engagement_clocks TO reactor_handler USING ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant)));

CREATE POLICY reactor_tenant ON public.kanban_cards TO reactor_handler USING ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant)));

CREATE POLICY reactor_tenant ON public.order_processing_exceptions TO reactor_handler USING ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant)));

CREATE POLICY reactor_tenant ON public.order_processing_queue TO reactor_handler USING ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant)));

CREATE POLICY reactor_tenant ON public.orders TO reactor_handler USING ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant)));

CREATE POLICY reactor_tenant ON public.products TO reactor_handler USING ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant)));

CREATE POLICY reactor_tenant ON public.profiles TO reactor_handler USING ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant)));

CREATE POLICY reactor_tenant ON public.tenants TO reactor_handler USING ((id = ( SELECT reactor.current_tenant() AS current_tenant))) WITH CHECK ((id = ( SELECT reactor.current_tenant() AS current_tenant)));

CREATE POLICY reactor_tenant_only ON public.agent_alerts AS RESTRICTIVE TO reactor_handler USING ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant)));

CREATE POLICY reactor_tenant_only ON public.agent_autonomous_runs AS RESTRICTIVE TO reactor_handler USING ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant)));

CREATE POLICY reactor_tenant_only ON public.agent_hourly_reflections AS RESTRICTIVE TO reactor_handler USING ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant)));

CREATE POLICY reactor_tenant_only ON public.agent_policy_violations AS RESTRICTIVE TO reactor_handler USING ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant)));

CREATE POLICY reactor_tenant_only ON public.agent_rate_limits AS RESTRICTIVE TO reactor_handler USING ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant)));

CREATE POLICY reactor_tenant_only ON public.agent_tenant_locks AS RESTRICTIVE TO reactor_handler USING ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant)));

CREATE POLICY reactor_tenant_only ON public.clients AS RESTRICTIVE TO reactor_handler USING ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant)));

CREATE POLICY reactor_tenant_only ON public.contacts AS RESTRICTIVE TO reactor_handler USING ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant)));

CREATE POLICY reactor_tenant_only ON public.email_provider_failures AS RESTRICTIVE TO reactor_handler USING ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant)));

CREATE POLICY reactor_tenant_only ON public.email_suppressions AS RESTRICTIVE TO reactor_handler USING ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant)));

CREATE POLICY reactor_tenant_only ON public.engagement_clocks AS RESTRICTIVE TO reactor_handler USING ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant)));

CREATE POLICY reactor_tenant_only ON public.kanban_cards AS RESTRICTIVE TO reactor_handler USING ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant)));

CREATE POLICY reactor_tenant_only ON public.order_processing_exceptions AS RESTRICTIVE TO reactor_handler USING ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant)));

CREATE POLICY reactor_tenant_only ON public.order_processing_queue AS RESTRICTIVE TO reactor_handler USING ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant)));

CREATE POLICY reactor_tenant_only ON public.orders AS RESTRICTIVE TO reactor_handler USING ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant)));

CREATE POLICY reactor_tenant_only ON public.products AS RESTRICTIVE TO reactor_handler USING ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant)));

CREATE POLICY reactor_tenant_only ON public.profiles AS RESTRICTIVE TO reactor_handler USING ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant)));

CREATE POLICY reactor_tenant_only ON public.tenants AS RESTRICTIVE TO reactor_handler USING ((id = ( SELECT reactor.current_tenant() AS current_tenant))) WITH CHECK ((id = ( SELECT reactor.current_tenant() AS current_tenant)));

CREATE POLICY service_role_all ON public.agent_alerts TO service_role USING (true) WITH CHECK (true);

CREATE POLICY service_role_all ON public.agent_autonomous_runs TO service_role USING (true) WITH CHECK (true);

CREATE POLICY service_role_all ON public.agent_hourly_reflections TO service_role USING (true) WITH CHECK (true);

CREATE POLICY service_role_all ON public.agent_policy_violations TO service_role USING (true) WITH CHECK (true);

CREATE POLICY service_role_all ON public.agent_rate_limits TO service_role USING (true) WITH CHECK (true);

CREATE POLICY service_role_all ON public.agent_tenant_locks TO service_role USING (true) WITH CHECK (true);

CREATE POLICY service_role_all ON public.clients TO service_role USING (true) WITH CHECK (true);

CREATE POLICY service_role_all ON public.contacts TO service_role USING (true) WITH CHECK (true);

CREATE POLICY service_role_all ON public.email_provider_failures TO service_role USING (true) WITH CHECK (true);

CREATE POLICY service_role_all ON public.email_suppressions TO service_role USING (true) WITH CHECK (true);

CREATE POLICY service_role_all ON public.engagement_clocks TO service_role USING (true) WITH CHECK (true);

CREATE POLICY service_role_all ON public.kanban_cards TO service_role USING (true) WITH CHECK (true);

CREATE POLICY service_role_all ON public.order_processing_exceptions TO service_role USING (true) WITH CHECK (true);

CREATE POLICY service_role_all ON public.order_processing_queue TO service_role USING (true) WITH CHECK (true);

CREATE POLICY service_role_all ON public.orders TO service_role USING (true) WITH CHECK (true);

CREATE POLICY service_role_all ON public.products TO service_role USING (true) WITH CHECK (true);

CREATE POLICY service_role_all ON public.profiles TO service_role USING (true) WITH CHECK (true);

CREATE POLICY service_role_all ON public.tenants TO service_role USING (true) WITH CHECK (true);

CREATE POLICY tenant_isolation ON public.agent_alerts TO authenticated USING ((tenant_id = ( SELECT reactor.caller_tenant() AS caller_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.caller_tenant() AS caller_tenant)));

CREATE POLICY tenant_isolation ON public.agent_autonomous_runs TO authenticated USING ((tenant_id = ( SELECT reactor.caller_tenant() AS caller_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.caller_tenant() AS caller_tenant)));

CREATE POLICY tenant_isolation ON public.agent_hourly_reflections TO authenticated USING ((tenant_id = ( SELECT reactor.caller_tenant() AS caller_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.caller_tenant() AS caller_tenant)));

CREATE POLICY tenant_isolation ON public.agent_policy_violations TO authenticated USING ((tenant_id = ( SELECT reactor.caller_tenant() AS caller_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.caller_tenant() AS caller_tenant)));

CREATE POLICY tenant_isolation ON public.agent_rate_limits TO authenticated USING ((tenant_id = ( SELECT reactor.caller_tenant() AS caller_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.caller_tenant() AS caller_tenant)));

CREATE POLICY tenant_isolation ON public.agent_tenant_locks TO authenticated USING ((tenant_id = ( SELECT reactor.caller_tenant() AS caller_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.caller_tenant() AS caller_tenant)));

CREATE POLICY tenant_isolation ON public.clients TO authenticated USING ((tenant_id = ( SELECT reactor.caller_tenant() AS caller_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.caller_tenant() AS caller_tenant)));

CREATE POLICY tenant_isolation ON public.contacts TO authenticated USING ((tenant_id = ( SELECT reactor.caller_tenant() AS caller_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.caller_tenant() AS caller_tenant)));

CREATE POLICY tenant_isolation ON public.email_provider_failures TO authenticated USING ((tenant_id = ( SELECT reactor.caller_tenant() AS caller_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.caller_tenant() AS caller_tenant)));

CREATE POLICY tenant_isolation ON public.email_suppressions TO authenticated USING ((tenant_id = ( SELECT reactor.caller_tenant() AS caller_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.caller_tenant() AS caller_tenant)));

CREATE POLICY tenant_isolation ON public.engagement_clocks TO authenticated USING ((tenant_id = ( SELECT reactor.caller_tenant() AS caller_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.caller_tenant() AS caller_tenant)));

CREATE POLICY tenant_isolation ON public.kanban_cards TO authenticated USING ((tenant_id = ( SELECT reactor.caller_tenant() AS caller_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.caller_tenant() AS caller_tenant)));

CREATE POLICY tenant_isolation ON public.order_processing_exceptions TO authenticated USING ((tenant_id = ( SELECT reactor.caller_tenant() AS caller_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.caller_tenant() AS caller_tenant)));

CREATE POLICY tenant_isolation ON public.order_processing_queue TO authenticated USING ((tenant_id = ( SELECT reactor.caller_tenant() AS caller_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.caller_tenant() AS caller_tenant)));

CREATE POLICY tenant_isolation ON public.orders TO authenticated USING ((tenant_id = ( SELECT reactor.caller_tenant() AS caller_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.caller_tenant() AS caller_tenant)));

CREATE POLICY tenant_isolation ON public.products TO authenticated USING ((tenant_id = ( SELECT reactor.caller_tenant() AS caller_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.caller_tenant() AS caller_tenant)));

CREATE POLICY tenant_isolation ON public.profiles TO authenticated USING ((tenant_id = ( SELECT reactor.caller_tenant() AS caller_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.caller_tenant() AS caller_tenant)));

CREATE POLICY tenant_isolation ON public.tenants TO authenticated USING ((id = ( SELECT reactor.caller_tenant() AS caller_tenant))) WITH CHECK ((id = ( SELECT reactor.caller_tenant() AS caller_tenant)));

ALTER TABLE public.tenants ENABLE ROW LEVEL SECURITY;

ALTER TABLE reactor.adoption_archive ENABLE ROW LEVEL SECURITY;

ALTER TABLE reactor.alert_channels_off ENABLE ROW LEVEL SECURITY;

ALTER TABLE reactor.alert_deliveries ENABLE ROW LEVEL SECURITY;

ALTER TABLE reactor.dead_events ENABLE ROW LEVEL SECURITY;

ALTER TABLE reactor.email_intents ENABLE ROW LEVEL SECURITY;

ALTER TABLE reactor.events ENABLE ROW LEVEL SECURITY;

CREATE POLICY reactor_engine ON reactor.alert_channels_off TO reactor, reactor_owner USING (true) WITH CHECK (true);

CREATE POLICY reactor_engine ON reactor.alert_deliveries TO reactor, reactor_owner USING (true) WITH CHECK (true);

CREATE POLICY reactor_engine ON reactor.email_intents TO reactor, reactor_owner USING (true) WITH CHECK (true);

CREATE POLICY reactor_tenant ON reactor.alert_channels_off TO reactor_handler USING ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant)));

CREATE POLICY reactor_tenant ON reactor.alert_deliveries TO reactor_handler USING ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant)));

CREATE POLICY reactor_tenant ON reactor.dead_events FOR SELECT TO reactor_handler USING ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant)));

CREATE POLICY reactor_tenant ON reactor.email_intents TO reactor_handler USING ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant)));

CREATE POLICY reactor_tenant ON reactor.events FOR SELECT TO reactor_handler USING ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant)));

CREATE POLICY reactor_tenant_only ON reactor.alert_channels_off AS RESTRICTIVE TO reactor_handler USING ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant)));

CREATE POLICY reactor_tenant_only ON reactor.alert_deliveries AS RESTRICTIVE TO reactor_handler USING ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant)));

CREATE POLICY reactor_tenant_only ON reactor.email_intents AS RESTRICTIVE TO reactor_handler USING ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT reactor.current_tenant() AS current_tenant)));

CREATE POLICY service_role_all ON reactor.dead_events FOR SELECT TO reactor, service_role USING (true);

CREATE POLICY service_role_all ON reactor.events FOR SELECT TO reactor, service_role USING (true);

CREATE POLICY tenant_isolation ON reactor.dead_events FOR SELECT TO authenticated USING ((tenant_id = ( SELECT reactor.caller_tenant() AS caller_tenant)));

CREATE POLICY tenant_isolation ON reactor.events FOR SELECT TO authenticated USING ((tenant_id = ( SELECT reactor.caller_tenant() AS caller_tenant)));

GRANT USAGE ON SCHEMA auth TO anon;
GRANT USAGE ON SCHEMA auth TO authenticated;
GRANT USAGE ON SCHEMA auth TO service_role;
GRANT USAGE ON SCHEMA auth TO reactor_handler;
GRANT USAGE ON SCHEMA auth TO reactor;
GRANT USAGE ON SCHEMA auth TO reactor_owner;

GRANT USAGE ON SCHEMA reactor TO reactor;
GRANT USAGE ON SCHEMA reactor TO reactor_handler;
GRANT USAGE ON SCHEMA reactor TO service_role;
GRANT USAGE ON SCHEMA reactor TO authenticated;

REVOKE ALL ON FUNCTION auth.uid() FROM PUBLIC;
GRANT ALL ON FUNCTION auth.uid() TO anon;
GRANT ALL ON FUNCTION auth.uid() TO authenticated;
GRANT ALL ON FUNCTION auth.uid() TO service_role;
GRANT ALL ON FUNCTION auth.uid() TO reactor_owner;
GRANT ALL ON FUNCTION auth.uid() TO reactor_handler;
GRANT ALL ON FUNCTION auth.uid() TO reactor;

REVOKE ALL ON FUNCTION public.acquire_tenant_lock(p_tenant_id uuid, p_lock_holder text, p_duration_minutes integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.acquire_tenant_lock(p_tenant_id uuid, p_lock_holder text, p_duration_minutes integer) TO service_role;
GRANT ALL ON FUNCTION public.acquire_tenant_lock(p_tenant_id uuid, p_lock_holder text, p_duration_minutes integer) TO reactor;
GRANT ALL ON FUNCTION public.acquire_tenant_lock(p_tenant_id uuid, p_lock_holder text, p_duration_minutes integer) TO reactor_handler;

REVOKE ALL ON FUNCTION public.check_and_increment_rate_limit(p_tenant_id uuid, p_action_type text, p_max_allowed integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.check_and_increment_rate_limit(p_tenant_id uuid, p_action_type text, p_max_allowed integer) TO service_role;
GRANT ALL ON FUNCTION public.check_and_increment_rate_limit(p_tenant_id uuid, p_action_type text, p_max_allowed integer) TO reactor;
GRANT ALL ON FUNCTION public.check_and_increment_rate_limit(p_tenant_id uuid, p_action_type text, p_max_allowed integer) TO reactor_handler;

REVOKE ALL ON FUNCTION public.extend_tenant_lock(p_tenant_id uuid, p_additional_minutes integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.extend_tenant_lock(p_tenant_id uuid, p_additional_minutes integer) TO service_role;
GRANT ALL ON FUNCTION public.extend_tenant_lock(p_tenant_id uuid, p_additional_minutes integer) TO reactor;
GRANT ALL ON FUNCTION public.extend_tenant_lock(p_tenant_id uuid, p_additional_minutes integer) TO reactor_handler;

REVOKE ALL ON FUNCTION public.extend_tenant_lock(p_tenant_id uuid, p_run_id uuid, p_additional_minutes integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.extend_tenant_lock(p_tenant_id uuid, p_run_id uuid, p_additional_minutes integer) TO service_role;
GRANT ALL ON FUNCTION public.extend_tenant_lock(p_tenant_id uuid, p_run_id uuid, p_additional_minutes integer) TO reactor;
GRANT ALL ON FUNCTION public.extend_tenant_lock(p_tenant_id uuid, p_run_id uuid, p_additional_minutes integer) TO reactor_handler;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.engagement_clocks TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.engagement_clocks TO service_role;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.engagement_clocks TO reactor_owner;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.engagement_clocks TO reactor;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.engagement_clocks TO reactor_handler;

REVOKE ALL ON FUNCTION public.get_engagement_violations(p_tenant_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.get_engagement_violations(p_tenant_id uuid) TO service_role;
GRANT ALL ON FUNCTION public.get_engagement_violations(p_tenant_id uuid) TO authenticated;
GRANT ALL ON FUNCTION public.get_engagement_violations(p_tenant_id uuid) TO reactor;
GRANT ALL ON FUNCTION public.get_engagement_violations(p_tenant_id uuid) TO reactor_handler;

REVOKE ALL ON FUNCTION public.release_tenant_lock(p_tenant_id uuid, p_run_id uuid, p_status text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.release_tenant_lock(p_tenant_id uuid, p_run_id uuid, p_status text) TO service_role;
GRANT ALL ON FUNCTION public.release_tenant_lock(p_tenant_id uuid, p_run_id uuid, p_status text) TO reactor;
GRANT ALL ON FUNCTION public.release_tenant_lock(p_tenant_id uuid, p_run_id uuid, p_status text) TO reactor_handler;

REVOKE ALL ON FUNCTION public.update_engagement_clock(p_tenant_id uuid, p_client_id uuid, p_contact_id uuid, p_touch_type text, p_touched_by uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.update_engagement_clock(p_tenant_id uuid, p_client_id uuid, p_contact_id uuid, p_touch_type text, p_touched_by uuid) TO service_role;
GRANT ALL ON FUNCTION public.update_engagement_clock(p_tenant_id uuid, p_client_id uuid, p_contact_id uuid, p_touch_type text, p_touched_by uuid) TO authenticated;
GRANT ALL ON FUNCTION public.update_engagement_clock(p_tenant_id uuid, p_client_id uuid, p_contact_id uuid, p_touch_type text, p_touched_by uuid) TO reactor;
GRANT ALL ON FUNCTION public.update_engagement_clock(p_tenant_id uuid, p_client_id uuid, p_contact_id uuid, p_touch_type text, p_touched_by uuid) TO reactor_handler;

REVOKE ALL ON FUNCTION reactor.abandon(p_tenants uuid[], p_runs uuid[], p_interrupted boolean, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.abandon(p_tenants uuid[], p_runs uuid[], p_interrupted boolean, p_reason text) TO reactor;

REVOKE ALL ON FUNCTION reactor.acknowledge(p_tenants uuid[], p_runs uuid[], p_done bigint[], p_verdicts jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION reactor.acknowledge_alert(p_alert uuid, p_by uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.acknowledge_alert(p_alert uuid, p_by uuid) TO reactor;

REVOKE ALL ON FUNCTION reactor.alert_dead(p_ids bigint[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION reactor.alert_is_spoken_for(p_alert_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.alert_is_spoken_for(p_alert_id uuid) TO reactor_handler;

REVOKE ALL ON FUNCTION reactor.announce_channels() FROM PUBLIC;

REVOKE ALL ON FUNCTION reactor.announce_clock() FROM PUBLIC;

REVOKE ALL ON FUNCTION reactor.announce_gate() FROM PUBLIC;

REVOKE ALL ON FUNCTION reactor.apply_retention(p_term bigint, p_limit integer, p_runs interval, p_violations interval, p_email_failures interval, p_reflections interval, p_rate_limits interval, p_alerts interval) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.apply_retention(p_term bigint, p_limit integer, p_runs interval, p_violations interval, p_email_failures interval, p_reflections interval, p_rate_limits interval, p_alerts interval) TO reactor;

REVOKE ALL ON FUNCTION reactor.arm(p_slot integer, p_armed boolean, p_process text) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.arm(p_slot integer, p_armed boolean, p_process text) TO reactor;

REVOKE ALL ON FUNCTION reactor.await_settlement() FROM PUBLIC;

REVOKE ALL ON FUNCTION reactor.backlog(p_most integer, p_groups integer, OUT ready bigint, OUT in_flight bigint, OUT delayed bigint, OUT parked bigint, OUT dead bigint, OUT oldest_seconds double precision, OUT tenants_waiting bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.backlog(p_most integer, p_groups integer, OUT ready bigint, OUT in_flight bigint, OUT delayed bigint, OUT parked bigint, OUT dead bigint, OUT oldest_seconds double precision, OUT tenants_waiting bigint) TO reactor;

REVOKE ALL ON FUNCTION reactor.beat(p_replica text, p_tenants uuid[], p_runs uuid[], p_lease interval, p_patience interval, p_process text) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.beat(p_replica text, p_tenants uuid[], p_runs uuid[], p_lease interval, p_patience interval, p_process text) TO reactor;

REVOKE ALL ON FUNCTION reactor.begin_email(p_intent uuid, p_provider text) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.begin_email(p_intent uuid, p_provider text) TO reactor;
GRANT ALL ON FUNCTION reactor.begin_email(p_intent uuid, p_provider text) TO reactor_handler;

REVOKE ALL ON FUNCTION reactor.break_lock(p_id uuid, p_reason text, p_force boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.break_lock(p_id uuid, p_reason text, p_force boolean) TO reactor;

REVOKE ALL ON FUNCTION reactor.bring_alerts_again(p_tenant_id uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION reactor.bury(p_tenants uuid[], p_runs uuid[], p_verdicts jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION reactor.bury_orphans(p_tenants uuid[], p_limit integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION reactor.bury_unreadable(p_tenant uuid, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.bury_unreadable(p_tenant uuid, p_limit integer) TO reactor;

GRANT SELECT ON TABLE public.profiles TO reactor_owner;
GRANT SELECT ON TABLE public.profiles TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.profiles TO service_role;
GRANT SELECT ON TABLE public.profiles TO reactor_handler;

REVOKE ALL ON FUNCTION reactor.caller_tenant() FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.caller_tenant() TO authenticated;
GRANT ALL ON FUNCTION reactor.caller_tenant() TO service_role;
GRANT ALL ON FUNCTION reactor.caller_tenant() TO reactor;
GRANT ALL ON FUNCTION reactor.caller_tenant() TO reactor_handler;

REVOKE ALL ON FUNCTION reactor.checkpoint(p_tenant uuid, p_run uuid, p_done bigint[], p_verdicts jsonb, p_counts jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.checkpoint(p_tenant uuid, p_run uuid, p_done bigint[], p_verdicts jsonb, p_counts jsonb) TO reactor;

REVOKE ALL ON FUNCTION reactor.choose_dead(p_ids bigint[], p_type text, p_tenant uuid, p_since interval, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.choose_dead(p_ids bigint[], p_type text, p_tenant uuid, p_since interval, p_limit integer) TO reactor;

REVOKE ALL ON FUNCTION reactor.claim(p_replica text, p_tenants integer, p_batch integer, p_lease interval, p_after uuid, p_gated text[], p_peers text[], p_capped text[], p_free integer[]) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.claim(p_replica text, p_tenants integer, p_batch integer, p_lease interval, p_after uuid, p_gated text[], p_peers text[], p_capped text[], p_free integer[]) TO reactor;

REVOKE ALL ON FUNCTION reactor.claim(p_replica text, p_tenants integer, p_batch integer, p_lease interval, p_after uuid, p_gated text[], p_peers text[], p_capped text[], p_free integer[], p_held uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.claim(p_replica text, p_tenants integer, p_batch integer, p_lease interval, p_after uuid, p_gated text[], p_peers text[], p_capped text[], p_free integer[], p_held uuid[]) TO reactor;

REVOKE ALL ON FUNCTION reactor.clean_fleet(p_term bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.clean_fleet(p_term bigint) TO reactor;

REVOKE ALL ON FUNCTION reactor.closed_sequences(p_table regclass) FROM PUBLIC;

REVOKE ALL ON FUNCTION reactor.current_tenant() FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.current_tenant() TO reactor;
GRANT ALL ON FUNCTION reactor.current_tenant() TO reactor_handler;

REVOKE ALL ON FUNCTION reactor.cut_off() FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.cut_off() TO reactor;

REVOKE ALL ON FUNCTION reactor.discard_dead(p_ids bigint[], p_type text, p_tenant uuid, p_since interval, p_limit integer, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.discard_dead(p_ids bigint[], p_type text, p_tenant uuid, p_since interval, p_limit integer, p_reason text) TO reactor;

REVOKE ALL ON FUNCTION reactor.drop_other_signatures(p_name name, p_keep text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION reactor.drop_partitions(p_parent regclass, p_keep interval, p_limit integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION reactor.due_jobs(p_jobs text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.due_jobs(p_jobs text[]) TO reactor;

REVOKE ALL ON FUNCTION reactor.emit(tenant_id uuid, event_type text, payload jsonb, subject_id uuid, delay interval, priority integer, dedup_key text) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.emit(tenant_id uuid, event_type text, payload jsonb, subject_id uuid, delay interval, priority integer, dedup_key text) TO reactor;
GRANT ALL ON FUNCTION reactor.emit(tenant_id uuid, event_type text, payload jsonb, subject_id uuid, delay interval, priority integer, dedup_key text) TO reactor_handler;
GRANT ALL ON FUNCTION reactor.emit(tenant_id uuid, event_type text, payload jsonb, subject_id uuid, delay interval, priority integer, dedup_key text) TO service_role;

REVOKE ALL ON FUNCTION reactor.enable_alert_channel(p_tenant_id uuid, p_channel text) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.enable_alert_channel(p_tenant_id uuid, p_channel text) TO reactor;
GRANT ALL ON FUNCTION reactor.enable_alert_channel(p_tenant_id uuid, p_channel text) TO service_role;

REVOKE ALL ON FUNCTION reactor.engagement_score(p_days_overdue integer, p_is_primary boolean, p_title text) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.engagement_score(p_days_overdue integer, p_is_primary boolean, p_title text) TO reactor;
GRANT ALL ON FUNCTION reactor.engagement_score(p_days_overdue integer, p_is_primary boolean, p_title text) TO reactor_handler;

REVOKE ALL ON FUNCTION reactor.enlist(p_replica text, p_patience interval, p_version text, p_info jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.enlist(p_replica text, p_patience interval, p_version text, p_info jsonb) TO reactor;

REVOKE ALL ON FUNCTION reactor.ensure_partitions(p_term bigint, p_months integer, p_weeks integer) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.ensure_partitions(p_term bigint, p_months integer, p_weeks integer) TO reactor;

REVOKE ALL ON FUNCTION reactor.explain_event(p_id bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.explain_event(p_id bigint) TO reactor;

GRANT SELECT(tenant_id) ON TABLE reactor.dead_events TO authenticated;
GRANT SELECT(tenant_id) ON TABLE reactor.dead_events TO service_role;
GRANT SELECT(tenant_id) ON TABLE reactor.dead_events TO reactor;
GRANT SELECT(tenant_id) ON TABLE reactor.dead_events TO reactor_handler;

GRANT SELECT(tenant_id) ON TABLE reactor.events TO authenticated;
GRANT SELECT(tenant_id) ON TABLE reactor.events TO service_role;
GRANT SELECT(tenant_id) ON TABLE reactor.events TO reactor;
GRANT SELECT(tenant_id) ON TABLE reactor.events TO reactor_handler;

REVOKE ALL ON FUNCTION reactor.find_event(p_event_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.find_event(p_event_id uuid) TO reactor;

REVOKE ALL ON FUNCTION reactor.finish_job(p_term bigint, p_name text, p_error text) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.finish_job(p_term bigint, p_name text, p_error text) TO reactor;

REVOKE ALL ON FUNCTION reactor.forget_history(p_term bigint, p_keep interval, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.forget_history(p_term bigint, p_keep interval, p_limit integer) TO reactor;

REVOKE ALL ON FUNCTION reactor.forget_watch(p_schema text, p_table text, p_type text) FROM PUBLIC;

REVOKE ALL ON FUNCTION reactor.free_name(p_replica text, p_process text) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.free_name(p_replica text, p_process text) TO reactor;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.agent_alerts TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.agent_alerts TO service_role;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.agent_alerts TO reactor_owner;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.agent_alerts TO reactor;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.agent_alerts TO reactor_handler;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.agent_autonomous_runs TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.agent_autonomous_runs TO service_role;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.agent_autonomous_runs TO reactor;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.agent_autonomous_runs TO reactor_handler;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.agent_policy_violations TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.agent_policy_violations TO service_role;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.agent_policy_violations TO reactor_owner;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.agent_policy_violations TO reactor;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.agent_policy_violations TO reactor_handler;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.email_provider_failures TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.email_provider_failures TO service_role;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.email_provider_failures TO reactor;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.email_provider_failures TO reactor_handler;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.order_processing_exceptions TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.order_processing_exceptions TO service_role;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.order_processing_exceptions TO reactor_owner;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.order_processing_exceptions TO reactor;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.order_processing_exceptions TO reactor_handler;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.order_processing_queue TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.order_processing_queue TO service_role;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.order_processing_queue TO reactor_owner;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.order_processing_queue TO reactor;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.order_processing_queue TO reactor_handler;

GRANT SELECT ON TABLE public.tenants TO reactor_owner;
GRANT SELECT ON TABLE public.tenants TO reactor;
GRANT SELECT ON TABLE public.tenants TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.tenants TO service_role;
GRANT SELECT,UPDATE ON TABLE public.tenants TO reactor_handler;

GRANT UPDATE(agent_enabled) ON TABLE public.tenants TO reactor_owner;
GRANT UPDATE(agent_enabled) ON TABLE public.tenants TO reactor;

GRANT UPDATE(agent_settings) ON TABLE public.tenants TO reactor_owner;
GRANT UPDATE(agent_settings) ON TABLE public.tenants TO reactor;

REVOKE ALL ON FUNCTION reactor.hour_metrics(p_hour timestamp with time zone, p_tenants uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.hour_metrics(p_hour timestamp with time zone, p_tenants uuid[]) TO reactor;

GRANT SELECT ON TABLE reactor.reflected_hours TO reactor;

REVOKE ALL ON FUNCTION reactor.hours_to_reflect(p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.hours_to_reflect(p_limit integer) TO reactor;

GRANT SELECT ON TABLE public.system_config TO authenticated;
GRANT SELECT ON TABLE public.system_config TO reactor;
GRANT SELECT ON TABLE public.system_config TO reactor_handler;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.system_config TO service_role;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.system_config TO reactor_owner;

REVOKE ALL ON FUNCTION reactor.is_open(p_tenant uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.is_open(p_tenant uuid) TO reactor;

REVOKE ALL ON FUNCTION reactor.is_outdated(p_watch reactor.watches, p_table regclass) FROM PUBLIC;

REVOKE ALL ON FUNCTION reactor.isolate(p_table regclass) FROM PUBLIC;

REVOKE ALL ON FUNCTION reactor.judge_engagement_clock() FROM PUBLIC;

REVOKE ALL ON FUNCTION reactor.keep_history(p_term bigint, p_keep interval, p_ahead integer) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.keep_history(p_term bigint, p_keep interval, p_ahead integer) TO reactor;

REVOKE ALL ON FUNCTION reactor.lead(p_replica text, p_lease interval, p_process text) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.lead(p_replica text, p_lease interval, p_process text) TO reactor;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.agent_tenant_locks TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.agent_tenant_locks TO service_role;
GRANT SELECT,INSERT,DELETE,TRUNCATE,UPDATE ON TABLE public.agent_tenant_locks TO reactor_owner;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.agent_tenant_locks TO reactor;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.agent_tenant_locks TO reactor_handler;

REVOKE ALL ON FUNCTION reactor.leaseless(p_runs uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.leaseless(p_runs uuid[]) TO reactor;

REVOKE ALL ON FUNCTION reactor.let_go(p_parent regclass, p_low uuid, p_high uuid, p_limit integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION reactor.list_dead(p_type text, p_tenant uuid, p_since interval, p_limit integer, p_died_before timestamp with time zone, p_id_before bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.list_dead(p_type text, p_tenant uuid, p_since interval, p_limit integer, p_died_before timestamp with time zone, p_id_before bigint) TO reactor;

REVOKE ALL ON FUNCTION reactor.list_events(p_state text, p_type text, p_tenant uuid, p_after bigint, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.list_events(p_state text, p_type text, p_tenant uuid, p_after bigint, p_limit integer) TO reactor;

REVOKE ALL ON FUNCTION reactor.list_locks(p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.list_locks(p_limit integer) TO reactor;

REVOKE ALL ON FUNCTION reactor.list_replicas() FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.list_replicas() TO reactor;

REVOKE ALL ON FUNCTION reactor.list_watches() FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.list_watches() TO reactor;

REVOKE ALL ON FUNCTION reactor.make_partition(p_parent regclass, p_name name, p_from timestamp with time zone, p_to timestamp with time zone, p_max_moved integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION reactor.make_partitions(p_parent regclass, p_by text, p_ahead integer, p_at timestamp with time zone) FROM PUBLIC;

REVOKE ALL ON FUNCTION reactor.make_probe(p_table regclass, p_function name, p_operations text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION reactor.next_deadline(p_at_most interval, p_jobs text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.next_deadline(p_at_most interval, p_jobs text[]) TO reactor;

REVOKE ALL ON FUNCTION reactor.next_tenant(p_after uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.next_tenant(p_after uuid) TO reactor;

REVOKE ALL ON FUNCTION reactor.note_runs(p_runs uuid[], p_ended uuid[], p_counts jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION reactor.notifiers_wait() FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.notifiers_wait() TO reactor;

REVOKE ALL ON FUNCTION reactor.only_executable_by(p_function regprocedure, p_roles name[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION reactor.open_sequences(p_table regclass) FROM PUBLIC;

REVOKE ALL ON FUNCTION reactor.open_writers(p_timer boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.open_writers(p_timer boolean) TO reactor;

REVOKE ALL ON FUNCTION reactor.outdated_protections() FROM PUBLIC;

REVOKE ALL ON FUNCTION reactor.park(p_tenants uuid[], p_gated text[], p_limit integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION reactor.parse_ident_list(p_list text) FROM PUBLIC;

REVOKE ALL ON FUNCTION reactor.place_of(p_kind text) FROM PUBLIC;

REVOKE ALL ON FUNCTION reactor.probe_watch(p_table regclass, p_probe regclass, p_tenant_column name, p_condition text) FROM PUBLIC;

REVOKE ALL ON FUNCTION reactor.protect(p_table regclass, p_tenant_column name) FROM PUBLIC;

REVOKE ALL ON FUNCTION reactor.prune_outbound(p_keep interval, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.prune_outbound(p_keep interval, p_limit integer) TO reactor;

REVOKE ALL ON FUNCTION reactor.put_tenant_policies(p_table regclass, p_tenant_column name) FROM PUBLIC;

REVOKE ALL ON FUNCTION reactor.put_watch_triggers(p_relation regclass, p_function name, p_operations text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION reactor.raise_alert(p_tenant_id uuid, p_type text, p_severity text, p_message text, p_metadata jsonb, p_quiet interval, p_same jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.raise_alert(p_tenant_id uuid, p_type text, p_severity text, p_message text, p_metadata jsonb, p_quiet interval, p_same jsonb) TO reactor;
GRANT ALL ON FUNCTION reactor.raise_alert(p_tenant_id uuid, p_type text, p_severity text, p_message text, p_metadata jsonb, p_quiet interval, p_same jsonb) TO reactor_handler;

REVOKE ALL ON FUNCTION reactor.read_event(p_id bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.read_event(p_id bigint) TO reactor;

REVOKE ALL ON FUNCTION reactor.read_within(p_tenant uuid, p_run uuid, p_ids bigint[], p_bytes bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION reactor.record_email_failure(p_tenant_id uuid, p_error_type text, p_message text, p_provider text, p_at_once boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.record_email_failure(p_tenant_id uuid, p_error_type text, p_message text, p_provider text, p_at_once boolean) TO reactor;
GRANT ALL ON FUNCTION reactor.record_email_failure(p_tenant_id uuid, p_error_type text, p_message text, p_provider text, p_at_once boolean) TO reactor_handler;

REVOKE ALL ON FUNCTION reactor.record_findings(p_findings jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.record_findings(p_findings jsonb) TO reactor;

REVOKE ALL ON FUNCTION reactor.record_reflections(p_hour timestamp with time zone, p_reflections jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.record_reflections(p_hour timestamp with time zone, p_reflections jsonb) TO reactor;

REVOKE ALL ON FUNCTION reactor.reevaluate_clocks(p_term bigint, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.reevaluate_clocks(p_term bigint, p_limit integer) TO reactor;

REVOKE ALL ON FUNCTION reactor.renew_protection(p_table regclass) FROM PUBLIC;

REVOKE ALL ON FUNCTION reactor.renew_watch(p_function name) FROM PUBLIC;

REVOKE ALL ON FUNCTION reactor.replay(p_ids bigint[], p_type text, p_tenant uuid, p_since interval, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.replay(p_ids bigint[], p_type text, p_tenant uuid, p_since interval, p_limit integer) TO reactor;

REVOKE ALL ON FUNCTION reactor.require_leader(p_term bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.require_leader(p_term bigint) TO reactor;

REVOKE ALL ON FUNCTION reactor.rescue(p_tenants uuid[], p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.rescue(p_tenants uuid[], p_limit integer) TO reactor;
GRANT ALL ON FUNCTION reactor.rescue(p_tenants uuid[], p_limit integer) TO service_role;
GRANT ALL ON FUNCTION reactor.rescue(p_tenants uuid[], p_limit integer) TO reactor_handler;

REVOKE ALL ON FUNCTION reactor.reserve_slots(p_tenant_id uuid, p_action_type text, p_count integer, p_per_hour integer, p_per_day integer, p_actions_per_hour integer) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.reserve_slots(p_tenant_id uuid, p_action_type text, p_count integer, p_per_hour integer, p_per_day integer, p_actions_per_hour integer) TO reactor;
GRANT ALL ON FUNCTION reactor.reserve_slots(p_tenant_id uuid, p_action_type text, p_count integer, p_per_hour integer, p_per_day integer, p_actions_per_hour integer) TO reactor_handler;

REVOKE ALL ON FUNCTION reactor.resign(p_term bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.resign(p_term bigint) TO reactor;

REVOKE ALL ON FUNCTION reactor.retire(p_replica text, p_process text) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.retire(p_replica text, p_process text) TO reactor;

REVOKE ALL ON FUNCTION reactor.ring() FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.ring() TO reactor;
GRANT ALL ON FUNCTION reactor.ring() TO reactor_handler;
GRANT ALL ON FUNCTION reactor.ring() TO service_role;

REVOKE ALL ON FUNCTION reactor.ring_timer(p_due timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.ring_timer(p_due timestamp with time zone) TO reactor;
GRANT ALL ON FUNCTION reactor.ring_timer(p_due timestamp with time zone) TO reactor_handler;
GRANT ALL ON FUNCTION reactor.ring_timer(p_due timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION reactor.rotate(p_term bigint, p_dead integer, p_live integer, p_wait interval, OUT outcome text, OUT live bigint, OUT dead bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.rotate(p_term bigint, p_dead integer, p_live integer, p_wait interval, OUT outcome text, OUT live bigint, OUT dead bigint) TO reactor;

REVOKE ALL ON FUNCTION reactor.rotate_leases(p_live integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION reactor.rule_facts(p_at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.rule_facts(p_at timestamp with time zone) TO reactor;

REVOKE ALL ON FUNCTION reactor.score_clocks(p_tenant_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.score_clocks(p_tenant_id uuid) TO reactor_handler;

REVOKE ALL ON FUNCTION reactor.set_aside(p_kind text, p_due timestamp with time zone, p_id uuid, p_more boolean, p_pause interval) FROM PUBLIC;

REVOKE ALL ON FUNCTION reactor.set_kill_switch(p_on boolean, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.set_kill_switch(p_on boolean, p_reason text) TO reactor;

REVOKE ALL ON FUNCTION reactor.set_tenant_enabled(p_tenants uuid[], p_enabled boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.set_tenant_enabled(p_tenants uuid[], p_enabled boolean) TO reactor;

REVOKE ALL ON FUNCTION reactor.settle(p_tenants uuid[], p_runs uuid[], p_more boolean[], p_done bigint[], p_verdicts jsonb, p_counts jsonb, p_batch integer, p_lease interval, p_gated text[], p_scope uuid, p_ahead bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.settle(p_tenants uuid[], p_runs uuid[], p_more boolean[], p_done bigint[], p_verdicts jsonb, p_counts jsonb, p_batch integer, p_lease interval, p_gated text[], p_scope uuid, p_ahead bigint[]) TO reactor;

REVOKE ALL ON FUNCTION reactor.settle_email(p_intent uuid, p_status text, p_provider_message_id text, p_error text) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.settle_email(p_intent uuid, p_status text, p_provider_message_id text, p_error text) TO reactor;
GRANT ALL ON FUNCTION reactor.settle_email(p_intent uuid, p_status text, p_provider_message_id text, p_error text) TO reactor_handler;

REVOKE ALL ON FUNCTION reactor.shown_time(p_at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.shown_time(p_at timestamp with time zone) TO reactor;

REVOKE ALL ON FUNCTION reactor.skipped(p_table regclass, p_operation text) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.skipped(p_table regclass, p_operation text) TO reactor;
GRANT ALL ON FUNCTION reactor.skipped(p_table regclass, p_operation text) TO reactor_handler;
GRANT ALL ON FUNCTION reactor.skipped(p_table regclass, p_operation text) TO service_role;

REVOKE ALL ON FUNCTION reactor.start_job(p_term bigint, p_name text, p_every interval, p_catch_up boolean, p_replica text) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.start_job(p_term bigint, p_name text, p_every interval, p_catch_up boolean, p_replica text) TO reactor;

REVOKE ALL ON FUNCTION reactor.status() FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.status() TO reactor;

REVOKE ALL ON FUNCTION reactor.still_bell() FROM PUBLIC;

REVOKE ALL ON FUNCTION reactor.suspend(p_tenants uuid[], p_runs uuid[], p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.suspend(p_tenants uuid[], p_runs uuid[], p_reason text) TO reactor;

REVOKE ALL ON FUNCTION reactor.sweep(p_term bigint, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.sweep(p_term bigint, p_limit integer) TO reactor;

REVOKE ALL ON FUNCTION reactor.take_ownership(p_table regclass) FROM PUBLIC;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE reactor.email_intents TO reactor;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE reactor.email_intents TO reactor_handler;

REVOKE ALL ON FUNCTION reactor.tenant_backlog(p_tenants uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.tenant_backlog(p_tenants uuid[]) TO reactor;

REVOKE ALL ON FUNCTION reactor.tenant_policies(p_tenant_column name) FROM PUBLIC;

REVOKE ALL ON FUNCTION reactor.tend_canary(p_every interval) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.tend_canary(p_every interval) TO reactor;

REVOKE ALL ON FUNCTION reactor.trace_event(p_id bigint, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.trace_event(p_id bigint, p_limit integer) TO reactor;

REVOKE ALL ON FUNCTION reactor.unpark(p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.unpark(p_limit integer) TO reactor;

REVOKE ALL ON FUNCTION reactor.unwatch("table" regclass, event_type text) FROM PUBLIC;

REVOKE ALL ON FUNCTION reactor.uuid7_floor(p_at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.uuid7_floor(p_at timestamp with time zone) TO reactor;
GRANT ALL ON FUNCTION reactor.uuid7_floor(p_at timestamp with time zone) TO reactor_handler;
GRANT ALL ON FUNCTION reactor.uuid7_floor(p_at timestamp with time zone) TO service_role;

REVOKE ALL ON FUNCTION reactor.uuid7_time(p_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION reactor.uuid7_time(p_id uuid) TO reactor;
GRANT ALL ON FUNCTION reactor.uuid7_time(p_id uuid) TO reactor_handler;
GRANT ALL ON FUNCTION reactor.uuid7_time(p_id uuid) TO service_role;

REVOKE ALL ON FUNCTION reactor.walk_outbox(OUT live bigint, OUT weight bigint, OUT dead bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION reactor.watch("table" regclass, event_type text, operations text[], tenant_column name, subject_column name, payload_columns name[], condition text) FROM PUBLIC;

REVOKE ALL ON FUNCTION reactor.watch_5624d85a40bc() FROM PUBLIC;

REVOKE ALL ON FUNCTION reactor.watch_80f04d8375b4() FROM PUBLIC;

REVOKE ALL ON FUNCTION reactor.watch_c43ba20e5d99() FROM PUBLIC;

REVOKE ALL ON FUNCTION reactor.watch_text("table" regclass, event_type text, operations text[], tenant_column name, subject_column name, payload_columns name[], condition text, OUT function_text text, OUT payload name[]) FROM PUBLIC;

GRANT SELECT ON TABLE public.agent_health_dashboard TO authenticated;
GRANT SELECT ON TABLE public.agent_health_dashboard TO service_role;
GRANT SELECT ON TABLE public.agent_health_dashboard TO reactor;
GRANT SELECT ON TABLE public.agent_health_dashboard TO reactor_handler;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.agent_hourly_reflections TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.agent_hourly_reflections TO service_role;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.agent_hourly_reflections TO reactor_owner;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.agent_hourly_reflections TO reactor;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.agent_hourly_reflections TO reactor_handler;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.agent_rate_limits TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.agent_rate_limits TO service_role;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.agent_rate_limits TO reactor_owner;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.agent_rate_limits TO reactor;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.agent_rate_limits TO reactor_handler;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.clients TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.clients TO service_role;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.clients TO reactor_handler;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.contacts TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.contacts TO service_role;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.contacts TO reactor_handler;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.email_suppressions TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.email_suppressions TO service_role;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.email_suppressions TO reactor_handler;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.kanban_cards TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.kanban_cards TO service_role;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.kanban_cards TO reactor_handler;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.orders TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.orders TO service_role;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.orders TO reactor_handler;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.products TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.products TO service_role;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.products TO reactor_handler;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE reactor.alert_channels_off TO reactor;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE reactor.alert_channels_off TO reactor_handler;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE reactor.alert_deliveries TO reactor;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE reactor.alert_deliveries TO reactor_handler;

GRANT SELECT ON TABLE reactor.migrations TO reactor;
