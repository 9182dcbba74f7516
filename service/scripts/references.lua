-- Return {last identity read, what they are as JSON {{number, name, {sample, …}}, …}, embeddings}.
-- ARGV: lineage, number to begin after, least number of samples; or lineage, '', '' and numbers.
local asked, after, enough = ARGV[1], ARGV[2], tonumber(ARGV[3])
if not lineage then return unknown_gallery() end
if lineage ~= asked then return refused('OUTOFSTEP', 'the gallery was made anew') end

local numbers = {}
if after == '' then
  for i = 4, #ARGV do numbers[#numbers + 1] = ARGV[i] end
else
  local found = redis.call('ZRANGEBYSCORE', below .. 'identities', '(' .. after, '+inf',
    'WITHSCORES', 'LIMIT', 0, enough)
  for i = 2, #found, 2 do numbers[#numbers + 1] = found[i] end
end

local identities, embeddings, last = {}, {}, ''
for _, number in ipairs(numbers) do
  local record = identity_key(number)
  local samples = sample_ids(record)
  for _, id in ipairs(samples) do
    local kept = redis.call('HGET', record, id)
    embeddings[#embeddings + 1] = string.sub(kept, select(2, string.find(kept, '^%x+ %d+ ')) + 1)
  end
  if #samples > 0 then
    identities[#identities + 1] = {number, redis.call('HGET', record, 'name'), samples}
  end
  last = number
  if enough and #embeddings >= enough then break end
end
return {last, cjson.encode(identities), table.concat(embeddings)}
