-- Remember of a probe that it was not an identity. ARGV: log length, model digest, rejections that a
--       gallery may remember, identity, embedding. Returns {id, version, change}, without a
--       change where it is remembered already.
local log_length, digest, most, name, embedding = unpack(ARGV)
if not lineage then return unknown_gallery() end
local refusal = mismatch(digest, #embedding)
if refusal then return refusal end
local number = number_of(name)
if not number then return refused('UNKNOWNIDENTITY', 'there is no such identity') end

local id = string.sub(redis.sha1hex(number .. ' ' .. embedding), 1, 16)
local field = number .. ':' .. id
if redis.call('HEXISTS', rejected, field) == 1 then
  count_samples(0)
  return {id, redis.call('HGET', root, 'version')}
end
if redis.call('HLEN', rejected) >= tonumber(most) then
  return refused('REJECTIONSFULL', 'expected at most ' .. most .. ' rejections in a gallery: take '
    .. 'some back')
end
redis.call('HSET', rejected, field, now() .. ' ' .. embedding)
local change = append(log_length, 'reject', number, {})
return {id, change[1], change}
