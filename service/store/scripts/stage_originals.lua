-- Keep what clients sent of samples that are staged. KEYS[2]: as stage.lua has it.
-- ARGV: lineage, bytes that a gallery may keep, and of each sample the number of its identity, its
--       id and what was sent.
local name = redis.sha1hex(ARGV[1])
if redis.call('SISMEMBER', KEYS[2], ARGV[1]) == 0 or redis.call('SISMEMBER', KEYS[2], name) == 0 then
  return refused('IMPORTBROKEN', 'what was staged is not there any more')
end
below, originals = under(ARGV[1]), name

for i = 3, #ARGV, 3 do
  local number, id, sent = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if redis.call('HEXISTS', identity_key(number), id) == 0 then
    return refused('IMPORTBROKEN', 'an original is of no sample')
  end
  if redis.call('HSETNX', originals_key(number), id, sent) == 0 then
    return refused('IMPORTBROKEN', 'a sample has two originals')
  end
  redis.call('ZADD', under(originals) .. 'identities', number, number)
  local kept = redis.call('HINCRBY', below .. 'staged', 'bytes', #sent)
  if kept > tonumber(ARGV[2]) then
    return refused('ORIGINALSFULL', 'expected at most ' .. ARGV[2] .. ' bytes of kept samples')
  end
end
