-- Keep what was said not to be whom in a gallery that is being imported. KEYS[2]: as stage.lua has it.
-- ARGV: lineage, and of each the number of the identity, created, embedding.
if redis.call('SISMEMBER', KEYS[2], ARGV[1]) == 0 then
  return refused('IMPORTBROKEN', 'what was staged is not there any more')
end
below = under(ARGV[1])
for i = 2, #ARGV, 3 do
  local number, created, embedding = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if redis.call('EXISTS', identity_key(number)) == 0 then
    return refused('IMPORTBROKEN', 'a rejection is of no identity')
  end
  local id = string.sub(redis.sha1hex(number .. ' ' .. embedding), 1, 16)
  redis.call('HSET', below .. 'rejected', number .. ':' .. id, created .. ' ' .. embedding)
end
