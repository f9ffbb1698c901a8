--! requires: closed_sequences
-- Lets handlers that may insert into a table use the sequences of its columns. Needs no lock on the table. Called by
-- reactor.protect() and reactor.renew_protection().
create or replace function reactor.open_sequences(p_table regclass) returns void
language plpgsql set search_path = ''
as $$
declare
    v_sequence regclass;
begin
    for v_sequence in select c from reactor.closed_sequences(p_table) as c loop
        execute format('grant usage on sequence %s to reactor_handler', v_sequence);
    end loop;
end;
$$;

revoke all on function reactor.open_sequences(regclass) from public;
