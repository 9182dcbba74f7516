-- Return identities as JSON, each {number, name, created, metadata, {{sample, created}, …}}.
-- ARGV: a name, or '' and then the number to begin after and how many.
local name, after, limit = ARGV[1], ARGV[2], ARGV[3]
if not lineage then return unknown_gallery() end

local found
if name == '' then
  found = redis.call('ZRANGEBYSCORE', below .. 'identities', '(' .. after, '+inf',
    'WITHSCORES', 'LIMIT', 0, limit)
else
  local number = redis.call('ZSCORE', below .. 'identities', name)
  if not number then return refused('UNKNOWNIDENTITY', 'there is no such identity') end
  found = {name, number}
end

local identities = {}
for i = 1, #found, 2 do
  local record = identity_key(found[i + 1])
  local about = redis.call('HMGET', record, 'created', 'metadata')
  local samples = {}
  for _, id in ipairs(sample_ids(record)) do
    local created = string.match(redis.call('HGET', record, id), '^%x+ (%d+) ')
    samples[#samples + 1] = {id, created}
  end
  identities[#identities + 1] = {found[i + 1], found[i], about[1], about[2], samples}
end
return cjson.encode(identities)
