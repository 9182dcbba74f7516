-- Return {last identity read, what they are as JSON, embeddings as MessagePack}. Each is {number,
-- name, {sample, …}}, samples in no order, as their embeddings; of all that is kept also created,
-- metadata ('' for none) and {"<fingerprint> <created>", …}, of identities without samples too.
-- ARGV: lineage (that in force, or the shadow), '' or 'all', then the number to begin after and the
--       least number of samples, or '', '' and numbers.
local asked, all, after, enough = ARGV[1], ARGV[2] == 'all', ARGV[3], tonumber(ARGV[4])
if not lineage then return unknown_gallery() end
if asked ~= lineage and asked ~= shadow then
  return refused('OUTOFSTEP', 'the gallery was made anew')
end
below = under(asked)

local numbers = {}
if after == '' then
  for i = 5, #ARGV do numbers[#numbers + 1] = ARGV[i] end
else
  local found = redis.call('ZRANGEBYSCORE', below .. 'identities', '(' .. after, '+inf',
    'WITHSCORES', 'LIMIT', 0, enough)
  for i = 2, #found, 2 do numbers[#numbers + 1] = found[i] end
end

local find, sub = string.find, string.sub
local identities, embeddings, count, last = {}, {}, 0, ''
for _, number in ipairs(numbers) do
  local name, created, metadata = '', '', ''
  local samples, heads = {}, {}
  local fields = redis.call('HGETALL', identity_key(number))
  for i = 1, #fields, 2 do
    local field = fields[i]
    local id = #field < 20 and tonumber(field)  -- is_sample, in less time
    if id then
      local kept = fields[i + 1]
      local head = find(kept, ' ', 66, true)  -- the second one, behind the SHA-256
      samples[#samples + 1] = id
      if all then heads[#heads + 1] = sub(kept, 1, head - 1) end
      count = count + 1
      embeddings[count] = sub(kept, head + 1)
    elseif field == 'name' then
      name = fields[i + 1]
    elseif field == 'created' then
      created = fields[i + 1]
    elseif field == 'metadata' then
      metadata = fields[i + 1]
    end
  end
  if all and #fields > 0 then
    identities[#identities + 1] = {number, name, samples, created, metadata, heads}
  elseif #samples > 0 then
    identities[#identities + 1] = {number, name, samples}
  end
  last = number
  if enough and count >= enough then break end
end
-- To join as many strings as one takes Lua four times as long: it does so in steps, with copies.
return {last, cjson.encode(identities), cmsgpack.pack(embeddings)}
