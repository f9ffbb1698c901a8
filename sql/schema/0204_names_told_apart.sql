-- These have a parameter more; two that differ by defaults could not be told apart.
drop function if exists reactor.retire(text);
drop function if exists reactor.lead(text, interval);
