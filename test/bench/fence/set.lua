-- No fence: what a script costs that only stores.
-- KEYS: key ...   ARGV: version, created, span, then per key: ttl (ms), value
local call = redis.call
for i = 1, #KEYS do
	call('PSETEX', KEYS[i], ARGV[2 * i + 2], ARGV[2 * i + 3])
end
return #KEYS
