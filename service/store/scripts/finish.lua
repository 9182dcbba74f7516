-- Make what was staged the gallery, if there is none of that name or an empty one.
-- KEYS[2]: as stage.lua has it. ARGV: lineage, settings (JSON), model digest, created, version,
--       identities, samples, last identity, last sample.
--       whether originals are kept ('' or 1).
-- Returns the lineages that were there before, which are now to be purged.
if redis.call('SISMEMBER', KEYS[2], ARGV[1]) == 0 then
  return refused('IMPORTBROKEN', 'what was staged is not there any more')
end
local staged = under(ARGV[1])
local counts = redis.call('HMGET', staged .. 'staged', 'identities', 'samples')
if redis.call('ZCARD', staged .. 'identities') < tonumber(counts[1] or 0) then
  return refused('IMPORTBROKEN', 'two identities have one name')
end
if (counts[1] or '0') ~= ARGV[6] or (counts[2] or '0') ~= ARGV[7] then
  return refused('IMPORTBROKEN', 'identities or samples are missing')
end

local version, before = ARGV[5], {}
if lineage then
  if shadow then
    return refused('MIGRATIONCONFLICT', 'the gallery is getting another comparator')
  end
  local identities, digest, there = unpack(redis.call('HMGET', root, 'identities', 'digest',
    'version'))
  if identities ~= '0' or redis.call('EXISTS', below .. 'cohort') == 1 then
    return refused('GALLERYEXISTS', 'a gallery of this name is there already, and not empty')
  end
  if digest ~= ARGV[3] then
    return refused('MODELMISMATCH', 'the gallery is of model ' .. digest .. ', got ' .. ARGV[3])
  end
  if tonumber(there) > tonumber(version) then version = there end
  before = {lineage, originals or nil}
  redis.call('SADD', KEYS[2], unpack(before))
  drop_edits()
end

redis.call('UNLINK', root)
redis.call('HSET', root, 'lineage', ARGV[1], 'settings', ARGV[2], 'digest', ARGV[3],
  'created', ARGV[4], 'version', version, 'hash', ARGV[1], 'identities', ARGV[6],
  'samples', ARGV[7], 'last_identity', ARGV[8], 'last_sample', ARGV[9])
if ARGV[10] ~= '' then
  local name = redis.sha1hex(ARGV[1])
  local bytes = redis.call('HGET', staged .. 'staged', 'bytes') or 0
  redis.call('HSET', root, 'originals', name, 'kept_bytes', bytes)
  redis.call('SREM', KEYS[2], name)
end
redis.call('UNLINK', staged .. 'staged')
redis.call('SREM', KEYS[2], ARGV[1])
return before
