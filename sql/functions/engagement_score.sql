-- How urgent an overdue clock is: 2 for each day up to 50, 20 for a primary contact, 15 for who decides or 10
-- for who leads. The one place of this formula.
create or replace function reactor.engagement_score(p_days_overdue int, p_is_primary boolean, p_title text)
returns numeric
language sql immutable parallel safe set search_path = ''
return least(2 * greatest(coalesce(p_days_overdue, 0), 0), 50)
    + case when p_is_primary then 20 else 0 end
    + case
        when p_title ~* '\m(president|ceo|owner|director)\M' then 15
        when p_title ~* '\m(manager|lead|head)\M' then 10
        else 0
    end;

revoke all on function reactor.engagement_score(int, boolean, text) from public;
grant execute on function reactor.engagement_score(int, boolean, text) to reactor, reactor_handler;
