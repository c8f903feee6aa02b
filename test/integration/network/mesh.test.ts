import assert from 'node:assert/strict'
import { member, type Member } from './member.ts'

describe('members that joined through one another', function () {
  this.timeout(60_000)
  const members: Member[] = []

  afterEach(async () => { await Promise.all(members.splice(0).map(async one => { await one[Symbol.asyncDispose]() })) })

  it('come to know all the others, though each was told of one', async () => {
    for (let i = 0; i < 6; i++) members.push(await member({ bootstrap: i === 0 ? [] : [members[Math.floor((i - 1) / 2)]!.address] }))
    for (const { network } of members) while (network.dhtPeers() < members.length - 1) await new Promise(resolve => setTimeout(resolve, 20))
    for (const { network } of members) assert.equal(network.peers().length, members.length - 1)
  })
})
