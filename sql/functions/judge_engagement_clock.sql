--! requires: now
-- Called by the trigger of the same name. A deadline that is moved is judged as of now, whoever moves it:
-- judged as of the last evaluation, a deadline set to yesterday would still look compliant.
-- SECURITY DEFINER as every trigger function: who may write a clock needs no right on schema reactor.
create or replace function reactor.judge_engagement_clock() returns trigger
  language plpgsql security definer
  set search_path = ''
as $$
begin
  new.evaluated_at := reactor.now();
  return new;
end
$$;
revoke all on function reactor.judge_engagement_clock() from public;
