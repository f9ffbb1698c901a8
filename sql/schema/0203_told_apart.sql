-- reactor.arm() has a parameter more; two that differ by defaults could not be told apart.
drop function if exists reactor.arm(int, boolean);
