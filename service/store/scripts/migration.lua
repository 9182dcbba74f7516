-- Return how far a second comparator is: {lineage, shadow, settings, settings of the shadow,
-- identities of the shadow, … in force, embeddings of the shadow, … in force, identities pending,
-- … left, whether there are own strangers, version, names of the left as JSON, the migration hash}.
-- ARGV: how many names.
if not lineage then return unknown_gallery() end
if not shadow then return refused('UNKNOWNMIGRATION', 'the gallery has no migration') end

local names = {}
local left = under(shadow) .. 'left'
if tonumber(ARGV[1]) > 0 then
  for _, number in ipairs(redis.call('ZRANGE', left, 0, ARGV[1] - 1)) do
    names[#names + 1] = redis.call('HGET', identity_key(number), 'name')
  end
end
local settings, shadows, embedded, version = unpack(redis.call('HMGET', root, 'settings',
  'shadow_settings', 'shadow_samples', 'version'))
return {lineage, shadow, settings, shadows,
  redis.call('ZCARD', under(shadow) .. 'identities'), redis.call('ZCARD', below .. 'identities'),
  embedded, redis.call('HGET', root, 'samples'),
  redis.call('ZCARD', under(shadow) .. 'pending'), redis.call('ZCARD', left),
  redis.call('EXISTS', below .. 'cohort'), version,
  cjson.encode(names), redis.call('HGETALL', migration)}
