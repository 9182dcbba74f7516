-- Put the shadow in force, and let what was in force be the shadow. Each follower reads it anew.
-- ARGV: shadow, whether to leave behind those of whom it lacks an embedding ('' or 1).
if not lineage then return unknown_gallery() end
if not shadow then return refused('UNKNOWNMIGRATION', 'the gallery has no migration') end
if shadow ~= ARGV[1] then
  return refused('MIGRATIONCONFLICT', 'the gallery has just been switched')
end
if redis.call('HGET', migration, 'passed') ~= '1'
  or redis.call('EXISTS', under(shadow) .. 'pending') == 1 then
  return refused('MIGRATIONCONFLICT', 'embeddings are still to be made')
end
if ARGV[2] == '' and redis.call('EXISTS', under(shadow) .. 'left') == 1 then
  return refused('ORIGINALSMISSING', 'some would be left behind')
end

local fields = {'settings', 'digest', 'width', 'samples'}
for _, field in ipairs(fields) do
  local before, after = unpack(redis.call('HMGET', root, field, 'shadow_' .. field))
  redis.call('HSET', root, field, after, 'shadow_' .. field, before)
end
local version = redis.call('HINCRBY', root, 'version', 1)
local sealed = {redis.call('HGET', root, 'hash'), version, 'switch', 0, '', shadow}
redis.call('HSET', root, 'lineage', shadow, 'shadow', lineage,
  'hash', redis.sha1hex(table.concat(sealed, '|')))

-- What it logged while it was in force before is not what came since.
redis.call('UNLINK', under(shadow) .. 'log')
local today = math.floor(now() / DAY)
for day = today, today - 1, -1 do
  if redis.call('EXISTS', below .. 'replies:' .. day) == 1 then
    redis.call('RENAME', below .. 'replies:' .. day, under(shadow) .. 'replies:' .. day)
  end
end
redis.call('HSET', migration, 'auto', '')
return redis.call('HGETALL', root)
