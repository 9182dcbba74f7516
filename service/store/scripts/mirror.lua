-- Let the shadow have identities as the lineage in force has them now, and these embeddings.
-- What was forgotten since is not there, whoever sends an embedding of it.
-- ARGV: shadow, and of each identity its number, how many samples, and of each id and embedding
--       ('' if the shadow's comparator cannot embed it).
if not lineage then return unknown_gallery() end
if shadow ~= ARGV[1] then
  return refused('MIGRATIONCONFLICT', 'the gallery has been switched, or its migration ended')
end

local width = tonumber(redis.call('HGET', root, 'shadow_width'))
local i = 2
while i <= #ARGV do
  local number, count = ARGV[i], tonumber(ARGV[i + 1])
  i = i + 2
  local there = redis.call('EXISTS', identity_key(number)) == 1
  if there then copy_head(number) end
  for _ = 1, count do
    local id, embedding = ARGV[i], ARGV[i + 1]
    i = i + 2
    if there and embedding == '' then
      redis.call('SADD', under(shadow) .. 'failed', id)
    elseif there and #embedding == width then
      copy_sample(number, id, embedding)
    end
  end
  settle(number)
end
