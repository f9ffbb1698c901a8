-- Wakes the deadline timer early when a clock's deadline comes before what it waits for.
create or replace trigger reactor_announce_insert after insert on public.engagement_clocks
referencing new table as new_rows
for each statement execute function reactor.announce_clock();

create or replace trigger reactor_announce_update after update on public.engagement_clocks
referencing new table as new_rows
for each statement execute function reactor.announce_clock();
