-- Keeps one sealed reply, unless its tenant has stored enough of late.
-- KEYS: the reply; how many bytes the tenant has stored in the present stretch of time.
-- ARGV: the sealed reply, how long it is kept and how long a stretch is, both in milliseconds, the most bytes of a stretch.
-- Returns whether it was kept. Nonsense in the count is a full count.
local size = #ARGV[1] + 256
local used = tonumber(redis.call('GET', KEYS[2]) or '0')
if not used or used < 0 or used + size > tonumber(ARGV[4]) then
  return 0
end
redis.call('INCRBY', KEYS[2], size)
if redis.call('PTTL', KEYS[2]) < 0 then
  redis.call('PEXPIRE', KEYS[2], ARGV[3])
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
