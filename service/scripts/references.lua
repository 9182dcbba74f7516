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
  local name, samples, kept = '', {}, {}
  local fields = redis.call('HGETALL', identity_key(number))
  for i = 1, #fields, 2 do
    local field, value = fields[i], fields[i + 1]
    if field == 'name' then
      name = value
    elseif is_sample(field) then
      samples[#samples + 1] = tonumber(field)
      kept[tonumber(field)] = value
    end
  end
  table.sort(samples)
  for _, id in ipairs(samples) do
    local _, head = string.find(kept[id], '^%x+ %d+ ')
    embeddings[#embeddings + 1] = string.sub(kept[id], head + 1)
  end
  if #samples > 0 then identities[#identities + 1] = {number, name, samples} end
  last = number
  if enough and #embeddings >= enough then break end
end
return {last, cjson.encode(identities), table.concat(embeddings)}
