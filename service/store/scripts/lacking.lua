-- Return identities as JSON, each {number, {{sample, bytes}, …}} with the samples of which the shadow
-- lacks an embedding that can be made.
-- ARGV: shadow, 'pending' or 'identities' (all), the number to begin after, how many identities.
if not lineage then return unknown_gallery() end
if shadow ~= ARGV[1] then
  return refused('MIGRATIONCONFLICT', 'the gallery has been switched, or its migration ended')
end

local of = ARGV[2] == 'pending' and under(shadow) or below
local found = redis.call('ZRANGEBYSCORE', of .. ARGV[2], '(' .. ARGV[3], '+inf', 'WITHSCORES',
  'LIMIT', 0, ARGV[4])
local identities = {}
for i = 2, #found, 2 do
  local number = found[i]
  local samples, held = {}, {}
  for _, id in ipairs(sample_ids(identity_key(number, shadow))) do held[id] = true end
  for _, id in ipairs(sample_ids(identity_key(number))) do
    local bytes = not held[id] and redis.call('HSTRLEN', originals_key(number), id) or 0
    if bytes > 0 and redis.call('SISMEMBER', under(shadow) .. 'failed', id) == 0 then
      samples[#samples + 1] = {id, bytes}
    end
  end
  identities[#identities + 1] = {number, samples}
end
return cjson.encode(identities)
