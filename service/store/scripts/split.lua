-- Let some samples of an identity be another's, who is made if there is none of that name.
-- ARGV: log length, edits that can be undone, hashed idempotency key (or ''), payload, identity,
--       into whom, sample ids. Returns {replayed, answer as JSON}.
local log_length, most, key, payload, name, into = unpack(ARGV, 1, 6)
if not lineage then return unknown_gallery() end
local before = replayed(key, payload)
if before then return before end
if shadow then return busy() end

local from, to = number_of(name), number_of(into)
if from and from == to then return edit_conflict('expected two identities') end
if not from then return refused('UNKNOWNIDENTITY', 'there is no such identity') end
local ids = {}
for i = 7, #ARGV do
  local id = ARGV[i]
  ids[#ids + 1] = id
  if not is_sample(id) or redis.call('HEXISTS', identity_key(from), id) == 0 then
    return refused('UNKNOWNSAMPLE', 'the identity has no sample ' .. id)
  end
end

local made = not to
if made then
  to = redis.call('HINCRBY', root, 'last_identity', 1)
  redis.call('HINCRBY', root, 'identities', 1)
  redis.call('ZADD', below .. 'identities', to, into)
  redis.call('HSET', identity_key(to), 'name', into, 'created', now())
end
local edit = next_edit('split', 'identity', from, 'other', to, 'made', made and 1 or '')
move_samples(from, to, ids, edit)
local change = append(log_length, 'split', from .. ' ' .. to, ids)
keep_edit(most)
return answered(key, payload, change)
