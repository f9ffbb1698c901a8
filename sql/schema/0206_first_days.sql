-- The history's partitions of the first days. The leader makes them an hour after its first start, and until then all
-- that was finished is in the default partition: to be moved while every settlement waits.
do $$
declare
    v_day date;
    v_name text;
    v_today constant date := (clock_timestamp() at time zone 'UTC')::date;
begin
    for v_day in select v_today + n from generate_series(0, 3) as n loop
        v_name := 'history_' || to_char(v_day, 'YYYYMMDD');
        -- Where the reactor has been at work that day, the leader does it.
        continue when to_regclass('reactor.' || v_name) is not null or exists (
            select from reactor.history_default h where h.finished_at >= v_day::timestamp at time zone 'UTC');
        execute format('create table reactor.%I (like reactor.history including defaults including constraints)', v_name);
        execute format(
            'alter table reactor.history attach partition reactor.%I for values from (%L) to (%L)',
            -- Written out, because in other date styles a zone is a few letters, which may be read as another zone's.
            v_name, to_char(v_day, 'YYYY-MM-DD 00:00+00'), to_char(v_day + 1, 'YYYY-MM-DD 00:00+00'));
    end loop;
end
$$;
