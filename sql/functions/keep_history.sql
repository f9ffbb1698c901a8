--! requires: now, require_leader
-- Makes tomorrow's partitions of the history and drops those older than p_keep. Called by
-- housekeeping at every turn, cheap when there is nothing to do. Days are of UTC.
--
-- A day of which many rows are in the default partition already (the leader was away for longer than partitions are
-- made ahead) stays there, and reactor.forget_history() removes it in its time: while rows are moved, every
-- settlement waits, and so does the renewal of the leadership.
create or replace function reactor.keep_history(p_term bigint, p_keep interval default '7 days', p_ahead int default 3)
returns table (made int, dropped int)
language plpgsql security definer set search_path = '' set lock_timeout = '3s'
-- Bounds are written as text: in other styles a zone is a few letters, which may be read as another zone's.
set datestyle = 'ISO'
as $$
declare
    c_most constant int := 10000;
    v_early int;
    v_today date := (reactor.now() at time zone 'UTC')::date;
    v_day date;
    v_name text;
    v_part record;
begin
    perform reactor.require_leader(p_term);
    made := 0;
    dropped := 0;
    -- Attaching locks the default partition and dropping the whole history: better another time than that
    -- every settlement queues up behind us, while we wait for somebody who reads.
    perform set_config('lock_timeout', '500ms', true);
    begin
        for v_day in select v_today + n from generate_series(0, p_ahead) as n loop
            v_name := 'history_' || to_char(v_day, 'YYYYMMDD');
            if to_regclass('reactor.' || v_name) is null then
                select count(*) into v_early
                from (
                    select from reactor.history_default h
                    where h.finished_at >= v_day::timestamp at time zone 'UTC'
                        and h.finished_at < (v_day + 1)::timestamp at time zone 'UTC'
                    limit c_most + 1) x;
                if v_early > c_most then
                    raise warning 'no partition %: more than % rows of its day are in the default partition already',
                        v_name, c_most;
                    continue;
                end if;
                -- Rows of that day that came before the partition are in the default one: move them along. Who is
                -- about to write one more must wait here: it would still write it there, and be refused.
                if v_day = v_today then
                    lock table reactor.history in share row exclusive mode;
                end if;
                execute format('create table reactor.%I (like reactor.history including defaults including constraints)', v_name);
                execute format(
                    'with early as (delete from reactor.history_default
                        where finished_at >= %1$L and finished_at < %2$L returning *)
                     insert into reactor.%3$I select * from early',
                    v_day::timestamp at time zone 'UTC', (v_day + 1)::timestamp at time zone 'UTC', v_name);
                execute format(
                    'alter table reactor.history attach partition reactor.%I for values from (%L) to (%L)',
                    v_name, v_day::timestamp at time zone 'UTC', (v_day + 1)::timestamp at time zone 'UTC');
                made := made + 1;
            end if;
        end loop;
    exception when lock_not_available then
        made := 0;
    end;
    begin
        for v_part in
            select c.relname, to_date(substr(c.relname, 9), 'YYYYMMDD') as day
            from pg_catalog.pg_inherits i
            join pg_catalog.pg_class c on c.oid = i.inhrelid
            where i.inhparent = 'reactor.history'::regclass and c.relname ~ '^history_[0-9]{8}$'
        loop
            if (v_part.day + 1)::timestamp at time zone 'UTC' <= reactor.now() - p_keep then
                execute format('drop table reactor.%I', v_part.relname);
                dropped := dropped + 1;
            end if;
        end loop;
    exception when lock_not_available then
        dropped := 0;
    end;
    perform set_config('lock_timeout', '0', true);
    return next;
end;
$$;

revoke all on function reactor.keep_history(bigint, interval, int) from public;
grant execute on function reactor.keep_history(bigint, interval, int) to reactor;
