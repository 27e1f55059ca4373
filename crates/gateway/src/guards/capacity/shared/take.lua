-- One tenant's bucket: takes up to `want` tokens out of it, by the clock of the server that runs this.
-- KEYS: the bucket. ARGV: tokens a second, the most there can be, want, tokens that come back, tokens used unasked.
-- Returns how many were taken and, if those are fewer than wanted, the microseconds until there is one.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local rate, burst, want = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local kept = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens, at = tonumber(kept[1]), tonumber(kept[2])
if not tokens or not at then
  tokens, at = burst, now
end
-- A clock that was set back gives nothing, and does not stop the bucket either.
local grown = math.max(0, now - at) * rate / 1000000
tokens = math.max(0, math.min(burst, tokens + grown + tonumber(ARGV[4])) - tonumber(ARGV[5]))
local taken = math.min(want, math.floor(tokens))
tokens = tokens - taken
redis.call('HSET', KEYS[1], 'tokens', string.format('%.6f', tokens), 'at', string.format('%.0f', now))
-- Once it would be full it need not be kept.
redis.call('PEXPIRE', KEYS[1], math.ceil((burst - tokens) * 1000 / rate) + 1000)
local wait = 0
if taken < want then
  wait = math.ceil((1 - tokens) * 1000000 / rate)
end
return {taken, wait}
