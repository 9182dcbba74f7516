-- Let one worker at a time make a gallery's shadow, and others as soon as it is gone.
-- KEYS[2]: kindred:{<gallery>}:migrator. ARGV: worker, ms that it has. Returns whether it is its.
if not shadow then return 0 end
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return 1
