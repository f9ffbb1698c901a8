--! requires: make_probe
-- Writes to the probe of a watch, without a row, and drops it: what would break the application's writes later breaks
-- here. The trigger's function must be reactor_owner's by now. Called by reactor.watch() and reactor.renew_watch().
create or replace function reactor.probe_watch(
    p_table regclass, p_probe regclass, p_tenant_column name, p_condition text
) returns void
language plpgsql set search_path = ''
as $$
begin
    begin
        execute format('insert into %1$s select * from %1$s', p_probe);
        execute format('update %s set %I = null', p_probe, p_tenant_column);
        execute format('delete from %s', p_probe);
    exception when others then
        raise exception 'reactor.watch: the condition does not fit %: %', p_table, sqlerrm
            using errcode = 'RX003', detail = coalesce(p_condition, ''),
                hint = 'write NEW.column and OLD.column; schema-qualify functions of your own, and let reactor_owner use them';
    end;
    execute format('drop table %s', p_probe);
end;
$$;

revoke all on function reactor.probe_watch(regclass, regclass, name, text) from public;
