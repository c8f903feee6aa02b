import type { FastifyInstance } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import type { NodeApi } from '../index.ts'
import type { NodeFilter } from '../network-types.ts'
import { capabilityList, discovery, nodePage, nodesQuery, postedPrice, priceRequest, providerList, spotPrices } from '../schemas-network.ts'
import { capabilitiesOf } from '../view/capabilities.ts'
import { spotPricesOf } from '../view/prices.ts'
import { discoveryOf, providersOf } from '../view/providers.ts'

const tags = ['network']

/** What is known of the network: all of it answered from one view. */
export function networkRoutes (plain: FastifyInstance, node: NodeApi): void {
  const server = plain.withTypeProvider<ZodTypeProvider>()
  server.get('/nodes', { schema: { summary: 'Nodes of the network that pass a filter, with the age and origin of what is known', tags, querystring: nodesQuery, response: { 200: nodePage } } },
    async ({ query }) => await node.nodes(query as NodeFilter))
  server.get('/discover', { schema: { summary: 'Nodes that take work now, as offers to choose from', tags, querystring: nodesQuery, response: { 200: discovery } } },
    async ({ query }) => discoveryOf(await node.nodes({ ...query as NodeFilter, available: true })))
  server.get('/providers', { schema: { summary: 'Nodes by the operator that stands behind them', tags, response: { 200: providerList } } }, () => providersOf(node.network()))
  server.get('/capabilities', { schema: { summary: 'Measured throughput per converter and resource, of the network and of this node', tags, response: { 200: capabilityList } } },
    () => capabilitiesOf(node.network()))
  server.get('/prices/spot', { schema: { summary: 'Prices posted now, by resource and by converter', tags, response: { 200: spotPrices } } }, () => spotPricesOf(node.network({ derived: true })))
  server.get('/prices/posted', { schema: { summary: 'What this node asks per resource hour', tags, response: { 200: postedPrice } } }, () => node.postedPrice())
  server.put('/prices/posted', { schema: { summary: 'Change what this node asks, until it stops; others hear of it at once', tags, body: priceRequest, response: { 200: postedPrice } } },
    async ({ body: { price, unit } }) => {
      await node.setPrice(price, unit)
      return node.postedPrice()
    })
}
